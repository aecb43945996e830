//! Everything overhead: the gradient, a sun or a moon in its glow, stars at night, soft clouds, and a rainbow when
//! somebody asks for one.

use super::palette::Palette;
use super::{Dice, placed};

/// The sky layer.
pub fn sky(palette: &Palette, named: &[&str], dice: &mut Dice) -> String {
    let mut sky = String::from(r#"<rect width="1024" height="1024" fill="url(#sky)"/>"#);
    if palette.night {
        let many = if named.contains(&"star") { 110 } else { 60 };
        sky.push_str(&stars(palette, many, dice));
    }
    let x = if dice.coin() {
        dice.between(190.0, 330.0)
    } else {
        dice.between(690.0, 830.0)
    };
    let y = dice.between(180.0, 260.0);
    // A moon that is spoken of is a large one.
    let size = if named.contains(&"moon") || named.contains(&"sun") {
        dice.between(125.0, 145.0)
    } else {
        dice.between(75.0, 100.0)
    };
    sky.push_str(&light(palette, x, y, size, dice));
    if named.contains(&"rainbow") {
        sky.push_str(&rainbow());
    }
    for _ in 0..dice.below(3) + 3 {
        let (x, y) = (dice.between(20.0, 1000.0), dice.between(120.0, 520.0));
        let cloud = cloud(palette, dice.between(0.55, 0.85));
        sky.push_str(&placed(&cloud, x, y, dice.between(0.6, 1.35), dice.coin()));
    }
    sky
}

fn light(palette: &Palette, x: f32, y: f32, size: f32, dice: &mut Dice) -> String {
    let color = palette.light;
    let glow = format!(
        r##"<circle cx="{x:.1}" cy="{y:.1}" r="{:.1}" fill="url(#glow)"/>"##,
        size * 3.4
    );
    let disc = format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="{size:.1}" fill="{color}"/>"#);
    if !palette.night {
        return glow + &disc;
    }
    if dice.coin() {
        // A full moon with three soft craters.
        let crater = |dx: f32, dy: f32, r: f32| {
            format!(
                r#"<circle cx="{:.1}" cy="{:.1}" r="{:.1}" fill="{}" opacity=".12"/>"#,
                x + dx * size,
                y + dy * size,
                r * size,
                palette.ink
            )
        };
        return glow + &disc + &crater(-0.35, -0.25, 0.22) + &crater(0.3, 0.1, 0.3) + &crater(-0.2, 0.5, 0.15);
    }
    let crescent = "M30,-95 A100,100 0 1 0 95,40 A82,82 0 1 1 30,-95 Z";
    glow + &placed(
        &format!(r#"<path d="{crescent}" fill="{color}"/>"#),
        x,
        y,
        size / 85.0,
        false,
    )
}

fn stars(palette: &Palette, many: usize, dice: &mut Dice) -> String {
    let mut stars = String::new();
    for n in 0..many {
        let (x, y) = (dice.between(10.0, 1014.0), dice.between(10.0, 600.0));
        let fade = (1.0 - y / 700.0) * dice.between(0.5, 1.0);
        // Every ninth star is near enough to have rays.
        if n % 9 == 0 {
            let ray = dice.between(9.0, 18.0);
            stars.push_str(&format!(
                r#"<path transform="translate({x:.1} {y:.1}) scale({ray:.1})" d="M0,-1 Q.12,-.12 1,0 Q.12,.12 0,1 Q-.12,.12 -1,0 Q-.12,-.12 0,-1Z" fill="{}" opacity="{:.2}"/>"#,
                palette.light,
                fade.max(0.5)
            ));
        } else {
            let r = dice.between(1.2, 3.2);
            stars.push_str(&format!(
                r#"<circle cx="{x:.1}" cy="{y:.1}" r="{r:.1}" fill="{}" opacity="{fade:.2}"/>"#,
                palette.light
            ));
        }
    }
    stars
}

/// A cloud about 260 wide, standing on (0, 0).
pub fn cloud(palette: &Palette, opacity: f32) -> String {
    let opacity = if palette.night { opacity * 0.45 } else { opacity };
    format!(
        r#"<path d="M-120,0 C-150,0 -150,-44 -112,-46 C-108,-84 -56,-92 -42,-64 C-28,-108 44,-104 46,-58 C72,-80 112,-64 104,-36 C140,-36 142,0 112,0Z" fill="{}" opacity="{opacity:.2}"/>"#,
        palette.mist
    )
}

fn rainbow() -> String {
    let bands = ["#f47c6c", "#f9a65a", "#fbd968", "#86c98a", "#6fb1e0", "#a48ad4"];
    let band = |(n, color): (usize, &&str)| {
        let r = 430 - n * 24;
        format!(
            r#"<path d="M{},720 A{r},{r} 0 0 1 {},720" fill="none" stroke="{color}" stroke-width="25" opacity=".7"/>"#,
            512 - r,
            512 + r
        )
    };
    bands.iter().enumerate().map(band).collect()
}
