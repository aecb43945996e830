//! The large shapes of the land: ridges, rows of trees, peaks, and the sea.

use super::palette::Palette;
use super::{Dice, placed, props, sky};

/// A soft ridge across the cover.
pub fn ridge(y: f32, swing: f32, fill: &str, dice: &mut Dice) -> String {
    let mut last = y + dice.between(-swing, swing);
    let mut path = format!("M-20,{last:.1}");
    let (mut x, step) = (-20.0, dice.between(210.0, 330.0));
    while x < 1044.0 {
        let next = y + dice.between(-swing, swing);
        path.push_str(&format!(
            " C{c:.1},{last:.1} {c:.1},{next:.1} {end:.1},{next:.1}",
            c = x + step / 2.0,
            end = x + step
        ));
        (x, last) = (x + step, next);
    }
    format!(r##"<path d="{path} V1040 H-20Z" fill="url(#{fill})"/>"##)
}

/// A row of trees, mostly round ones; `shade` chooses their colour.
pub fn trees(palette: &Palette, many: usize, y: f32, size: f32, shade: usize, dice: &mut Dice) -> String {
    let mut trees = String::new();
    for n in 0..many {
        let x = (n as f32 + dice.between(0.1, 0.9)) * 1024.0 / many as f32;
        let size = size * dice.between(0.8, 1.2);
        let shape = if dice.below(3) == 0 {
            props::pine(palette, shade + 1, false)
        } else {
            props::tree(palette, shade + dice.below(2))
        };
        trees.push_str(&placed(&shape, x, y + dice.between(-14.0, 14.0), size, dice.coin()));
    }
    trees
}

/// Four snowy peaks.
pub fn peaks(palette: &Palette, dice: &mut Dice) -> String {
    let mut peaks = String::new();
    for (x, height) in [(90.0, 300.0), (400.0, 400.0), (690.0, 340.0), (950.0, 420.0)] {
        let (x, height) = (x + dice.between(-60.0, 60.0), height + dice.between(-50.0, 50.0));
        let shape = format!(
            r##"<path d="M-280,0 Q-70,-250 0,-400 Q80,-240 290,0Z" fill="url(#far)"/><path d="M0,-400 Q80,-240 290,0 L60,0 Q40,-160 20,-230 Q6,-280 0,-400Z" fill="{}" opacity=".22"/><path d="M0,-400 Q-32,-330 -66,-272 Q-38,-292 -22,-270 Q-4,-300 14,-268 Q40,-290 72,-266 Q30,-330 0,-400Z" fill="#ffffff" opacity=".85"/>"##,
            palette.hills[1]
        );
        peaks.push_str(&placed(&shape, x, 680.0, height / 400.0, dice.coin()));
    }
    peaks
}

/// Water with an island, waves and glints of light.
pub fn sea(palette: &Palette, dice: &mut Dice) -> String {
    let mut sea = placed(
        &format!(
            r#"<path d="M-190,0 C-150,-60 -90,-50 -60,-100 C-20,-140 40,-90 70,-80 C120,-70 150,-20 200,0Z" fill="{}" opacity=".8"/>"#,
            palette.hills[0]
        ),
        dice.between(150.0, 870.0),
        612.0,
        dice.between(0.7, 1.1),
        dice.coin(),
    );
    sea.push_str(&placed(
        &sky::cloud(palette, 0.5),
        dice.between(100.0, 900.0),
        612.0,
        1.3,
        false,
    ));
    sea.push_str(r##"<rect y="608" width="1024" height="430" fill="url(#mid)"/>"##);
    for n in 0..6 {
        let y = 650.0 + n as f32 * 68.0;
        let (wave, shift) = (90.0 + n as f32 * 22.0, dice.between(0.0, 160.0));
        let mut path = format!("M{:.1},{y:.1}", -shift - 20.0);
        let mut x = -shift - 20.0;
        while x < 1050.0 {
            path.push_str(&format!(
                " q{:.1},{:.1} {wave:.1},0",
                wave / 2.0,
                -14.0 - n as f32 * 3.0
            ));
            x += wave;
        }
        sea.push_str(&format!(
            r#"<path d="{path} V1040 H-200Z" fill="{}" opacity="{:.2}"/>"#,
            palette.hills[2],
            0.16 + n as f32 * 0.02
        ));
    }
    for _ in 0..26 {
        let (x, y) = (dice.between(0.0, 1024.0), dice.between(630.0, 1000.0));
        sea.push_str(&format!(
            r#"<path d="M{x:.1},{y:.1} h{:.1}" stroke="{}" stroke-width="4" stroke-linecap="round" opacity=".4"/>"#,
            dice.between(14.0, 60.0),
            palette.light
        ));
    }
    sea
}
