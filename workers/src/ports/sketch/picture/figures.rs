//! The figures of the covers that are not animals on the ground, and where each figure goes: boats and whales into
//! the water, balloons and kites into the air, everybody else onto the hill, or into a boat when there is only sea.

use super::animals::{animal, child};
use super::palette::Palette;
use super::scenes::{GROUND, Scene};
use super::{Dice, placed, props, sky};

/// The things that can be the figure of a cover when no creature is named.
pub const CAN_STAND: &[&str] = &["balloon", "boat", "kite", "house", "tree", "flower", "lantern", "star"];

/// Who may come when nobody is named.
pub const AT_LIBERTY: &[&str] = &[
    "fox", "cat", "dog", "rabbit", "bear", "bird", "girl", "boy", "balloon", "whale", "boat", "kite",
];

/// The main figure of the cover.
pub fn figure(name: &str, scene: Scene, palette: &Palette, named: &[&str], dice: &mut Dice) -> String {
    let (x, mirrored) = (dice.between(470.0, 554.0), dice.coin());
    let sea = scene == Scene::Sea;
    let shadow = r##"<ellipse cx="0" cy="2" rx="150" ry="26" fill="url(#dark)"/>"##;
    let drawn = match name {
        "balloon" => placed(&balloon(palette), x, 590.0, 1.35, mirrored),
        "kite" => {
            let flier = child(dice.coin(), palette, dice);
            let string = r##"<path d="M93,-70 C200,-160 150,-260 236,-330" stroke="#ffffff" stroke-width="3" fill="none" opacity=".8"/>"##;
            let kite = placed(&kite(palette), 270.0, -385.0, 0.85, false);
            let flier = format!("{shadow}{string}{flier}{kite}");
            let flier = if sea { boat(palette, &flier) } else { flier };
            placed(
                &flier,
                x - if mirrored { -110.0 } else { 110.0 },
                GROUND + 20.0,
                1.0,
                mirrored,
            )
        }
        "whale" if sea => placed(&(whale(palette, dice) + &splash(palette)), x, 880.0, 1.5, mirrored),
        "whale" => {
            placed(&whale(palette, dice), x, 600.0, 1.25, mirrored)
                + &placed(&sky::cloud(palette, 1.0), x, 705.0, 1.9, mirrored)
        }
        "boat" if sea => {
            let splash = placed(&splash(palette), 0.0, 22.0, 0.8, false);
            placed(&(sailing(palette) + &splash), x, 880.0, 1.4, mirrored)
        }
        "boat" => {
            placed(&sailing(palette), x, 640.0, 1.2, mirrored)
                + &placed(&sky::cloud(palette, 1.1), x, 715.0, 1.7, mirrored)
        }
        "house" => placed(&props::porch_house(palette), x, GROUND + 30.0, 1.35, mirrored),
        "tree" => placed(
            &format!("{shadow}{}{}", props::tree(palette, 0), props::fruit(palette)),
            x,
            GROUND + 20.0,
            2.0,
            mirrored,
        ),
        "flower" => {
            let bunch: String = [(-84.0, 1.5, -8), (86.0, 1.7, 9), (0.0, 2.7, 0)]
                .iter()
                .map(|(dx, size, turn)| {
                    format!(
                        r#"<g transform="rotate({turn})">{}</g>"#,
                        placed(&props::flower(palette, dice), *dx, 0.0, *size, false)
                    )
                })
                .collect();
            placed(&bunch, x, GROUND + 40.0, 1.4, mirrored)
        }
        "lantern" => [(-190.0, 520.0, 0.8), (210.0, 470.0, 0.7), (0.0, 640.0, 1.7)]
            .iter()
            .map(|(dx, y, size)| placed(&lantern(palette), x + dx, *y, *size, mirrored))
            .collect(),
        "star" => placed(&star(palette), x, 560.0, 1.6, mirrored),
        _ => {
            let creature = match animal(name, palette, dice) {
                Some(animal) => animal,
                None if name == "bird" => bird(palette),
                None => child(name != "boy", palette, dice),
            };
            if sea || named.contains(&"boat") {
                let (y, size) = if sea { (880.0, 1.15) } else { (GROUND + 10.0, 1.1) };
                placed(&boat(palette, &creature), x, y, size, mirrored)
            } else {
                placed(&format!("{shadow}{creature}"), x, GROUND + 25.0, 1.25, mirrored)
            }
        }
    };
    format!(r#"<g id="figure-{name}">{drawn}</g>"#)
}

/// Smaller things in the air that the words name beside the figure.
pub fn companions(palette: &Palette, named: &[&str], figure: &str, dice: &mut Dice) -> String {
    let mut companions = String::new();
    for name in named.iter().filter(|name| **name != figure) {
        let (x, y) = (
            if dice.coin() {
                dice.between(120.0, 260.0)
            } else {
                dice.between(770.0, 900.0)
            },
            dice.between(430.0, 540.0),
        );
        let shape = match *name {
            "balloon" => placed(&balloon(palette), x, y, 0.55, false),
            "kite" => placed(&kite(palette), x, y - 60.0, 0.6, false),
            "bird" => placed(&bird(palette), x, y, 0.35, dice.coin()),
            "whale" => placed(&whale(palette, dice), x, y, 0.5, dice.coin()),
            "lantern" => placed(&lantern(palette), x, y, 0.7, false),
            "star" => placed(&star(palette), x, y - 60.0, 0.5, dice.coin()),
            _ => continue,
        };
        companions.push_str(&shape);
    }
    companions
}

fn balloon(palette: &Palette) -> String {
    let [one, two, three] = palette.blooms;
    format!(
        r##"<circle cx="0" cy="-180" r="260" fill="url(#glow)" opacity=".5"/><path d="M-40,-30 L-24,44 M40,-30 L24,44 M-14,-24 L-10,44 M14,-24 L10,44" stroke="#6b4a36" stroke-width="4"/>
<path d="M0,-350 C110,-350 170,-270 160,-190 C152,-120 80,-60 44,-24 H-44 C-80,-60 -152,-120 -160,-190 C-170,-270 -110,-350 0,-350Z" fill="{one}"/><path d="M0,-350 C70,-350 100,-270 94,-190 C90,-120 50,-60 28,-24 H-28 C-50,-60 -90,-120 -94,-190 C-100,-270 -70,-350 0,-350Z" fill="{two}"/><path d="M0,-350 C26,-350 38,-270 36,-190 C34,-120 20,-60 10,-24 H-10 C-20,-60 -34,-120 -36,-190 C-38,-270 -26,-350 0,-350Z" fill="{three}"/>
<path d="M-128,-256 C-112,-310 -70,-334 -40,-338 C-80,-316 -104,-276 -112,-236Z" fill="#ffffff" opacity=".35"/><path d="M-46,-32 H46 L40,-14 H-40Z" fill="{one}"/><path d="M-34,40 H34 L28,92 Q0,100 -28,92Z" fill="#b5793f"/><path d="M-32,56 H32 M-30,74 H30 M-12,42 V94 M12,42 V94" stroke="#7d4f2a" stroke-width="4" opacity=".6"/><rect x="-38" y="34" width="76" height="13" rx="6" fill="#8a5a3c"/>"##
    )
}

fn kite(palette: &Palette) -> String {
    let [one, two, three] = palette.blooms;
    format!(
        r#"<path d="M0,110 C30,150 -30,170 0,210 C26,240 -10,260 6,290" stroke="{two}" stroke-width="5" fill="none"/><path d="M-26,150 L26,172 L26,148 L-26,174Z M-24,214 L26,236 L26,210 L-24,238Z" fill="{one}"/><path d="M0,-120 L86,-20 L0,110 L-86,-20Z" fill="{one}"/><path d="M0,-120 L86,-20 H0Z" fill="{two}"/><path d="M0,110 L-86,-20 H0Z" fill="{three}"/><path d="M0,-120 V110 M-86,-20 H86" stroke="{ink}" stroke-width="4" opacity=".4"/>"#,
        ink = palette.ink
    )
}

fn whale(palette: &Palette, dice: &mut Dice) -> String {
    let (skin, belly) = dice.pick(&[("#4f7fb8", "#dcebf5"), ("#5a6fb0", "#e6e4f7"), ("#3f8f9f", "#dff2ec")]);
    format!(
        r##"<path d="M-96,-196 C-96,-250 -140,-262 -156,-230 M-96,-196 C-96,-260 -52,-266 -36,-232 M-96,-200 V-262" stroke="{mist}" stroke-width="11" stroke-linecap="round" fill="none" opacity=".9"/>
<path d="M150,-110 C190,-130 196,-170 176,-214 C214,-214 226,-196 228,-178 C240,-196 262,-204 288,-192 C262,-150 250,-90 190,-50Z" fill="{skin}"/><path d="M-210,-84 C-214,-170 -120,-204 -40,-198 C60,-190 110,-120 176,-128 C220,-110 190,-40 130,-14 C60,8 -70,10 -130,-6 C-180,-20 -208,-44 -210,-84Z" fill="{skin}"/>
<path d="M-208,-70 C-150,-52 -60,-40 20,-44 C80,-46 120,-40 150,-26 C70,10 -70,10 -130,-6 C-176,-18 -204,-40 -208,-70Z" fill="{belly}"/><path d="M-150,-44 Q-100,-26 -60,-24 M-120,-28 Q-70,-10 -20,-10 M-60,-36 Q0,-24 60,-24" stroke="{skin}" stroke-width="4" opacity=".35" fill="none"/>
<path d="M-30,-50 C-20,-6 20,22 56,18 C56,-12 40,-44 10,-58Z" fill="{skin}"/><path d="M-30,-50 C-20,-6 20,22 56,18" stroke="{ink}" stroke-opacity=".2" stroke-width="4" fill="none"/><path d="M-180,-140 C-150,-178 -90,-186 -50,-180" stroke="#fff" stroke-opacity=".35" stroke-width="12" stroke-linecap="round" fill="none"/>
<circle cx="-136" cy="-96" r="12" fill="#232038"/><circle cx="-140" cy="-100" r="4.5" fill="#fff"/><ellipse cx="-112" cy="-72" rx="20" ry="12" fill="#f2727a" opacity=".45"/><path d="M-196,-72 Q-170,-58 -150,-68" stroke="#232038" stroke-width="5" stroke-linecap="round" fill="none"/>"##,
        mist = palette.mist,
        ink = palette.ink
    )
}

/// Water that closes over the foot of a swimming figure.
fn splash(palette: &Palette) -> String {
    format!(
        r##"<path d="M-330,40 C-280,-20 -220,8 -180,-14 C-120,-36 -60,-4 0,-18 C60,-34 130,-4 190,-20 C250,-34 300,-4 340,40Z" fill="{}"/><path d="M-240,4 q30,-14 60,-4 M-60,0 q40,-14 80,-2 M130,0 q40,-16 76,-2" stroke="{}" stroke-width="6" stroke-linecap="round" fill="none" opacity=".8"/>"##,
        palette.hills[1], palette.mist
    )
}

/// A rowing boat with somebody in it.
fn boat(palette: &Palette, passenger: &str) -> String {
    let [_, two, _] = palette.blooms;
    let passenger = placed(passenger, 0.0, -50.0, 0.95, false);
    format!(
        r##"{passenger}<path d="M-200,-100 Q0,-62 200,-100 C190,-30 150,14 110,18 H-110 C-150,14 -190,-30 -200,-100Z" fill="#a9653c"/><path d="M-200,-100 Q0,-62 200,-100 L197,-78 Q0,-38 -197,-78Z" fill="{two}"/><path d="M-180,-40 Q0,-4 180,-40" stroke="#7a4527" stroke-width="5" fill="none" opacity=".6"/>{}"##,
        placed(&splash(palette), 0.0, 22.0, 0.85, false)
    )
}

/// A small ship with two sails.
fn sailing(palette: &Palette) -> String {
    let [one, two, three] = palette.blooms;
    format!(
        r##"<path d="M-4,-60 V-370" stroke="#7a4d33" stroke-width="11" stroke-linecap="round"/><path d="M-2,-372 L60,-352 L-2,-332Z" fill="{one}"/><path d="M8,-330 C120,-260 150,-170 150,-104 Q80,-84 8,-96Z" fill="#fff8ea"/><path d="M8,-218 Q80,-200 132,-206 Q146,-160 149,-138 Q80,-130 8,-150Z" fill="{two}"/><path d="M-16,-310 C-70,-240 -120,-170 -134,-104 Q-70,-88 -16,-98Z" fill="{one}"/><path d="M-16,-198 Q-60,-190 -98,-190 L-122,-140 Q-60,-134 -16,-146Z" fill="{three}" opacity=".85"/>
<path d="M-190,-84 Q0,-52 190,-84 C180,-24 140,14 104,18 H-104 C-140,14 -180,-24 -190,-84Z" fill="#b06a40"/><path d="M-190,-84 Q0,-52 190,-84 L186,-62 Q0,-28 -186,-62Z" fill="#fff1d8"/><circle cx="-70" cy="-24" r="13" fill="{light}"/><circle cx="0" cy="-18" r="13" fill="{light}"/><circle cx="70" cy="-24" r="13" fill="{light}"/>"##,
        light = palette.light
    )
}

fn lantern(palette: &Palette) -> String {
    format!(
        r##"<circle cx="0" cy="-70" r="190" fill="url(#glow)"/><path d="M-44,-130 C-60,-90 -54,-40 -36,-14 H36 C54,-40 60,-90 44,-130Z" fill="{light}"/><path d="M-44,-130 C-60,-90 -54,-40 -36,-14 H-12 C-22,-50 -22,-90 -14,-130Z M44,-130 C60,-90 54,-40 36,-14 H12 C22,-50 22,-90 14,-130Z" fill="{warm}" opacity=".5"/><rect x="-46" y="-140" width="92" height="14" rx="7" fill="{red}"/><rect x="-38" y="-18" width="76" height="12" rx="6" fill="{red}"/><path d="M0,-6 V34 M-8,-6 V22 M8,-6 V22" stroke="{red}" stroke-width="5" stroke-linecap="round"/>"##,
        light = palette.light,
        warm = palette.blooms[1],
        red = palette.blooms[0]
    )
}

fn star(palette: &Palette) -> String {
    format!(
        r##"<circle r="260" fill="url(#glow)"/><path d="M0,-112 Q10,-108 30,-44 Q34,-36 44,-35 Q112,-34 110,-24 Q106,-12 56,24 Q50,30 52,40 Q74,100 66,106 Q56,112 8,76 Q0,70 -8,76 Q-56,112 -66,106 Q-74,100 -52,40 Q-50,30 -56,24 Q-106,-12 -110,-24 Q-112,-34 -44,-35 Q-34,-36 -30,-44 Q-10,-108 0,-112Z" fill="{}"/><circle cx="-22" cy="-4" r="7" fill="#2b2030"/><circle cx="22" cy="-4" r="7" fill="#2b2030"/><path d="M-10,14 Q0,24 10,14" stroke="#2b2030" stroke-width="4" stroke-linecap="round" fill="none"/><ellipse cx="-36" cy="12" rx="11" ry="7" fill="#f2727a" opacity=".5"/><ellipse cx="36" cy="12" rx="11" ry="7" fill="#f2727a" opacity=".5"/>"##,
        palette.blooms[1]
    )
}

fn bird(palette: &Palette) -> String {
    let [one, two, _] = palette.blooms;
    format!(
        r##"<path d="M-20,-20 V2 M24,-20 V2" stroke="#d98a3c" stroke-width="8" stroke-linecap="round"/><path d="M96,-110 Q170,-150 196,-130 Q186,-100 110,-70Z" fill="{one}"/><path d="M0,-240 C90,-240 130,-160 118,-96 C108,-40 50,-14 0,-14 C-60,-14 -116,-50 -118,-116 C-120,-190 -70,-240 0,-240Z" fill="{one}"/><path d="M-50,-22 C-96,-50 -96,-130 -40,-140 C20,-146 50,-100 40,-60 C30,-30 0,-12 -50,-22Z" fill="#fff4e0"/><path d="M40,-150 C110,-150 120,-80 70,-60 C40,-70 30,-110 40,-150Z" fill="{ink}" opacity=".22"/><path d="M-6,-238 q-10,-36 14,-46 q-4,22 10,30 q8,-14 22,-12 q-12,14 -16,34Z" fill="{one}"/><path d="M-84,-176 L-140,-160 L-86,-146Z" fill="{two}"/><circle cx="-48" cy="-180" r="11" fill="#2b2030"/><circle cx="-52" cy="-184" r="4" fill="#fff"/><ellipse cx="-34" cy="-154" rx="15" ry="10" fill="#f2727a" opacity=".5"/>"##,
        ink = palette.ink
    )
}
