//! The things that stand around in a scene: trees, pines, flowers, grass, and the house with the open wooden porch.
//! Each one is drawn around (0, 0), its foot.

use super::Dice;
use super::palette::Palette;

/// A round tree about 230 high; `shade` chooses one of the three leaf colours.
pub fn tree(palette: &Palette, shade: usize) -> String {
    let leaf = palette.leaves[shade.min(2)];
    let (light, ink) = (palette.leaves[0], palette.ink);
    format!(
        r#"<path d="M-11,2 C-7,-50 -9,-80 -5,-120 L6,-120 C8,-80 7,-50 12,2Z" fill="{ink}" opacity=".7"/><path d="M0,-92 L34,-128" stroke="{ink}" stroke-width="7" stroke-linecap="round" opacity=".7"/>
<path d="M-70,-92 C-112,-108 -104,-168 -66,-172 C-64,-226 12,-250 38,-208 C86,-212 106,-158 78,-132 C84,-92 34,-74 8,-90 C-14,-70 -52,-72 -70,-92Z" fill="{leaf}"/>
<path d="M-58,-150 C-54,-196 -6,-214 18,-200 C-14,-196 -36,-178 -40,-146Z" fill="{light}" opacity=".55"/><circle cx="40" cy="-150" r="9" fill="{light}" opacity=".4"/><circle cx="14" cy="-122" r="7" fill="{light}" opacity=".4"/>"#
    )
}

/// Fruit in the crown of a round tree.
pub fn fruit(palette: &Palette) -> String {
    [
        (-62, -120),
        (-20, -160),
        (12, -190),
        (52, -178),
        (64, -138),
        (4, -116),
        (-50, -158),
    ]
    .iter()
    .map(|(x, y)| format!(r#"<circle cx="{x}" cy="{y}" r="8" fill="{}"/>"#, palette.blooms[0]))
    .collect()
}

/// A pine about 240 high, with snow on it when it is snowing.
pub fn pine(palette: &Palette, shade: usize, snowy: bool) -> String {
    let leaf = palette.leaves[shade.min(2)];
    let snow = if snowy {
        r##"<path d="M0,-240 L30,-182 Q12,-192 2,-180 Q-10,-192 -30,-182Z M-46,-138 Q-22,-142 0,-132 Q24,-144 46,-138 L32,-160 Q0,-150 -32,-160Z M-64,-76 Q-30,-84 0,-72 Q30,-86 64,-76 L44,-104 Q0,-92 -44,-104Z" fill="#ffffff" opacity=".9"/>"##
    } else {
        ""
    };
    format!(
        r#"<rect x="-8" y="-34" width="16" height="36" fill="{ink}" opacity=".7"/><path d="M0,-240 C16,-200 36,-176 50,-156 Q30,-154 26,-156 C42,-128 58,-108 72,-94 Q50,-90 42,-94 C56,-66 74,-44 92,-28 Q0,-10 -92,-28 C-74,-44 -56,-66 -42,-94 Q-50,-90 -72,-94 C-58,-108 -42,-128 -26,-156 Q-30,-154 -50,-156 C-36,-176 -16,-200 0,-240Z" fill="{leaf}"/>{snow}"#,
        ink = palette.ink
    )
}

/// A flower about 110 high on a stalk with two leaves.
pub fn flower(palette: &Palette, dice: &mut Dice) -> String {
    let bloom = dice.pick(&palette.blooms);
    let heart = if bloom == palette.blooms[1] {
        palette.blooms[0]
    } else {
        palette.blooms[1]
    };
    let stalk = palette.leaves[2];
    let leaf = palette.leaves[1];
    let green = format!(
        r#"<path d="M0,0 Q-7,-40 0,-84" stroke="{stalk}" stroke-width="6" fill="none" stroke-linecap="round"/><path d="M-2,-28 Q-36,-34 -40,-62 Q-8,-60 -2,-28Z M0,-18 Q30,-22 38,-50 Q6,-48 0,-18Z" fill="{leaf}"/>"#
    );
    let head = match dice.below(3) {
        // A daisy.
        0 => {
            let petals: String = (0..8)
                .map(|n| {
                    format!(
                        r#"<ellipse cx="0" cy="-22" rx="10" ry="19" transform="rotate({})" fill="{bloom}"/>"#,
                        n * 45
                    )
                })
                .collect();
            format!(r#"<g transform="translate(0 -92)">{petals}<circle r="12" fill="{heart}"/></g>"#)
        }
        // A tulip.
        1 => format!(
            r#"<path d="M-25,-124 Q-12,-112 -10,-106 Q-4,-122 0,-132 Q5,-122 10,-106 Q14,-114 25,-124 C32,-92 20,-76 0,-76 C-20,-76 -32,-92 -25,-124Z" fill="{bloom}"/><path d="M-10,-106 Q-12,-86 0,-78 Q12,-86 10,-106 Q5,-122 0,-132 Q-4,-122 -10,-106Z" fill="{heart}" opacity=".35"/>"#
        ),
        // Five round petals.
        _ => {
            let petals: String = (0..5)
                .map(|n| {
                    format!(
                        r#"<circle cx="0" cy="-19" r="17" transform="rotate({})" fill="{bloom}"/>"#,
                        n * 72
                    )
                })
                .collect();
            format!(r#"<g transform="translate(0 -94)">{petals}<circle r="13" fill="{heart}"/></g>"#)
        }
    };
    green + &head
}

/// A tuft of grass about 60 high.
pub fn grass(color: &str) -> String {
    format!(
        r#"<path d="M-26,4 Q-34,-26 -46,-38 Q-22,-28 -16,0 Q-16,-40 -24,-62 Q-2,-36 0,0 Q2,-34 20,-54 Q14,-26 14,0 Q22,-24 42,-32 Q28,-16 26,4Z" fill="{color}"/>"#
    )
}

/// A house with a tiled roof and an open wooden porch, about 420 wide and 260 high.
pub fn porch_house(palette: &Palette) -> String {
    let (light, ink) = (palette.light, palette.ink);
    let roof = palette.ink;
    let ridges: String = (-5..=5)
        .map(|n| {
            let (top, low) = (n * 22, n * 37);
            format!(r#"<path d="M{top},-246 Q{},-190 {low},-152" stroke="{light}" stroke-opacity=".16" stroke-width="6" fill="none"/>"#, (top + low) / 2)
        })
        .collect();
    let planks: String = (-3..=3)
        .map(|n| {
            format!(
                r#"<path d="M{0},-44 L{1},-26" stroke="{ink}" stroke-opacity=".25" stroke-width="3"/>"#,
                n * 48,
                n * 54
            )
        })
        .collect();
    let lattice = |x: i32| {
        format!(
            r#"<rect x="{x}" y="-142" width="76" height="98" rx="3" fill="{light}"/><path d="M{a},-142 v98 M{b},-142 v98 M{c},-142 v98 M{x},-112 h76 M{x},-78 h76" stroke="{wood}" stroke-width="4"/>"#,
            a = x + 19,
            b = x + 38,
            c = x + 57,
            wood = "#8a5a3c"
        )
    };
    format!(
        r##"<ellipse cx="0" cy="4" rx="250" ry="24" fill="url(#dark)"/><path d="M-206,-14 H206 L216,6 H-216Z" fill="#b9b1a8"/>
<rect x="-178" y="-160" width="356" height="120" fill="#f3e4c8"/><rect x="-62" y="-156" width="124" height="112" fill="#6b4330"/><ellipse cx="0" cy="-96" rx="120" ry="80" fill="url(#glow)"/>{left}{right}
<path d="M-186,-44 H186 L200,-26 H-200Z" fill="#c98d56"/>{planks}<rect x="-200" y="-26" width="400" height="10" fill="#8a5a3c"/>
<path d="M-184,-160 h12 v146 h-12Z M-68,-160 h12 v118 h-12Z M56,-160 h12 v118 h-12Z M172,-160 h12 v146 h-12Z" fill="#7a4d33"/>
<path d="M-248,-158 C-190,-168 -150,-210 -128,-254 Q0,-242 128,-254 C150,-210 190,-168 248,-158 Q236,-142 214,-142 Q0,-160 -214,-142 Q-236,-142 -248,-158Z" fill="{roof}"/>{ridges}
<path d="M-134,-258 Q0,-244 134,-258 L130,-242 Q0,-230 -130,-242Z" fill="{ink}"/><path d="M-214,-142 Q0,-160 214,-142" stroke="{light}" stroke-opacity=".35" stroke-width="4" fill="none"/>
<path d="M30,-44 v-18 q12,-10 24,0 v18Z" fill="{pot}"/>"##,
        left = lattice(-160),
        right = lattice(84),
        pot = palette.blooms[0]
    )
}
