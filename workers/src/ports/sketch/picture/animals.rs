//! The animals and children of the covers. They all sit or stand facing us and are built in the same way, about 340
//! high around their feet at (0, 0): a tail, a body, a scarf, ears, a head, a face. Only the parts differ.

use super::Dice;
use super::palette::Palette;

/// The coat and the parts of one animal.
struct Coat {
    fur: &'static str,
    pale: &'static str,
    inner: &'static str,
    ears: &'static str,
    tail: &'static str,
    marks: &'static str,
}

const POINTED: &str = r#"<path d="M-84,-236 Q-96,-336 -78,-338 Q-44,-326 -16,-288Z M84,-236 Q96,-336 78,-338 Q44,-326 16,-288Z" fill="FUR"/><path d="M-72,-256 Q-78,-312 -70,-314 Q-50,-304 -36,-284Z M72,-256 Q78,-312 70,-314 Q50,-304 36,-284Z" fill="INNER"/>"#;
const LONG: &str = r#"<g fill="FUR"><ellipse cx="-36" cy="-344" rx="25" ry="82" transform="rotate(-9 -36 -300)"/><ellipse cx="36" cy="-344" rx="25" ry="82" transform="rotate(13 36 -300)"/></g><g fill="INNER"><ellipse cx="-36" cy="-340" rx="12" ry="60" transform="rotate(-9 -36 -300)"/><ellipse cx="36" cy="-340" rx="12" ry="60" transform="rotate(13 36 -300)"/></g>"#;
const ROUND: &str = r#"<circle cx="-64" cy="-284" r="31" fill="FUR"/><circle cx="64" cy="-284" r="31" fill="FUR"/><circle cx="-64" cy="-282" r="17" fill="INNER"/><circle cx="64" cy="-282" r="17" fill="INNER"/>"#;
const HORNS: &str = r##"<path d="M-52,-272 Q-70,-320 -50,-342 Q-30,-318 -24,-284Z M52,-272 Q70,-320 50,-342 Q30,-318 24,-284Z" fill="#fff0c8"/><path d="M-14,-292 Q0,-336 14,-292Z" fill="INNER"/><path d="M-80,-230 Q-124,-262 -128,-222 Q-108,-206 -80,-208Z M80,-230 Q124,-262 128,-222 Q108,-206 80,-208Z" fill="FUR"/>"##;
const BUSHY: &str = r#"<path d="M50,-20 C130,10 200,-40 176,-130 C168,-160 150,-172 138,-196 C110,-150 130,-90 60,-70Z" fill="FUR"/><path d="M176,-130 C168,-160 150,-172 138,-196 C122,-170 120,-146 118,-124 Q136,-142 146,-120 Q160,-140 176,-130Z" fill="PALE"/>"#;
const CURLED: &str = r#"<path d="M60,-24 C150,0 176,-70 140,-104 C118,-124 96,-96 118,-84" fill="none" stroke="FUR" stroke-width="26" stroke-linecap="round"/>"#;
const WAGGING: &str = r#"<path d="M66,-40 C110,-44 130,-80 132,-112" fill="none" stroke="FUR" stroke-width="28" stroke-linecap="round"/>"#;
const PUFF: &str = r#"<circle cx="82" cy="-34" r="28" fill="PALE"/>"#;
const SPIKED: &str = r#"<path d="M-60,-120 C-130,-220 -190,-210 -214,-170 Q-184,-172 -178,-146 Q-154,-152 -146,-124 Q-118,-128 -70,-84Z M60,-120 C130,-220 190,-210 214,-170 Q184,-172 178,-146 Q154,-152 146,-124 Q118,-128 70,-84Z" fill="INNER"/><path d="M40,-14 C120,24 190,-10 170,-70 L196,-86 L160,-112 L140,-74 L152,-70 C156,-40 110,-40 70,-64Z" fill="FUR"/>"#;
const MASK: &str = r#"<path d="M-87,-206 C-62,-222 -26,-214 0,-186 C26,-214 62,-222 87,-206 C80,-166 40,-148 0,-148 C-40,-148 -80,-166 -87,-206Z" fill="PALE"/>"#;
const MUZZLE: &str = r#"<ellipse cx="0" cy="-192" rx="38" ry="28" fill="PALE"/>"#;
const WHISKERS: &str = r##"<ellipse cx="0" cy="-190" rx="30" ry="20" fill="PALE"/><path d="M-62,-196 h-44 M-62,-186 l-40,10 M62,-196 h44 M62,-186 l40,10" stroke="#ffffff" stroke-opacity=".7" stroke-width="3" stroke-linecap="round"/><path d="M-16,-298 Q-12,-276 -14,-268 M0,-300 V-264 M16,-298 Q12,-276 14,-268" stroke="INNER" stroke-width="7" stroke-linecap="round" fill="none"/>"##;
const STRIPES: &str = r##"<ellipse cx="0" cy="-190" rx="36" ry="25" fill="PALE"/><path d="M-18,-294 Q-14,-272 -14,-264 M0,-300 V-258 M18,-294 Q14,-272 14,-264 M-86,-236 Q-66,-232 -58,-236 M-86,-212 Q-68,-212 -60,-216 M86,-236 Q66,-232 58,-236 M86,-212 Q68,-212 60,-216 M-86,-84 Q-66,-84 -58,-92 M86,-84 Q66,-84 58,-92 M-84,-54 Q-66,-54 -58,-62 M84,-54 Q66,-54 58,-62" stroke="#5a3525" stroke-width="8" stroke-linecap="round" fill="none"/>"##;
const FLOPPY: &str = r#"<ellipse cx="0" cy="-192" rx="38" ry="28" fill="PALE"/><path d="M-58,-286 C-116,-290 -128,-206 -104,-176 C-82,-170 -76,-220 -62,-250Z M58,-286 C116,-290 128,-206 104,-176 C82,-170 76,-220 62,-250Z" fill="INNER"/>"#;

/// The animal of this name, or `None` when the name is not an animal's.
pub fn animal(name: &str, palette: &Palette, dice: &mut Dice) -> Option<String> {
    let coat = |fur, pale, inner, ears, tail, marks| Coat {
        fur,
        pale,
        inner,
        ears,
        tail,
        marks,
    };
    let coat = match name {
        "fox" => coat("#e8793a", "#fff3e2", "#5b3a35", POINTED, BUSHY, MASK),
        "cat" => {
            let (fur, pale, inner) = dice.pick(&[
                ("#f0a860", "#fff1dd", "#d9823e"),
                ("#8d93a8", "#f2f2f6", "#6d7288"),
                ("#fbeedd", "#ffffff", "#e7b48f"),
                ("#4a4458", "#d9d2e0", "#6a6280"),
            ]);
            coat(fur, pale, inner, POINTED, CURLED, WHISKERS)
        }
        "dog" => {
            let (fur, pale, inner) = dice.pick(&[
                ("#e9c08c", "#fff4e2", "#b07a48"),
                ("#f7efe2", "#ffffff", "#c79a6b"),
                ("#a9744f", "#f3dcc2", "#6e4630"),
            ]);
            coat(fur, pale, inner, "", WAGGING, FLOPPY)
        }
        "rabbit" => {
            let (fur, pale) = dice.pick(&[("#fdf6ee", "#ffffff"), ("#d9c3ae", "#fff6ea"), ("#c9c8d6", "#ffffff")]);
            coat(fur, pale, "#f6b3b3", LONG, PUFF, MUZZLE)
        }
        "bear" => {
            let (fur, pale, inner) = dice.pick(&[
                ("#9b6a48", "#e9c9a0", "#6f4630"),
                ("#fbf7f0", "#ffffff", "#d9cfc4"),
                ("#6d5a58", "#d8c3b0", "#4c3d3d"),
            ]);
            coat(fur, pale, inner, ROUND, "", MUZZLE)
        }
        "tiger" => coat("#f2a33f", "#fff4df", "#7a4a2a", ROUND, CURLED, STRIPES),
        "dragon" => {
            let (fur, pale, inner) = dice.pick(&[
                ("#67b58a", "#f5edb8", "#f08a5d"),
                ("#6a9fd4", "#e6f0c8", "#8a6fc0"),
                ("#d9667a", "#ffe6c0", "#f2a950"),
            ]);
            coat(fur, pale, inner, HORNS, SPIKED, MUZZLE)
        }
        _ => return None,
    };
    let scarf = dice.pick(&palette.blooms);
    let body = r#"TAIL<path d="M-80,-10 C-100,-100 -62,-172 0,-172 C62,-172 100,-100 80,-10 Q0,14 -80,-10Z" fill="FUR"/><ellipse cx="0" cy="-66" rx="46" ry="60" fill="PALE"/>
<path d="M-62,-134 C-84,-96 -74,-66 -50,-62 M62,-134 C84,-96 74,-66 50,-62" stroke="FUR" stroke-width="30" stroke-linecap="round" fill="none"/><path d="M-78,-112 C-80,-84 -66,-60 -46,-60 M78,-112 C80,-84 66,-60 46,-60" stroke="INK" stroke-opacity=".14" stroke-width="4" stroke-linecap="round" fill="none"/>
<ellipse cx="-44" cy="-6" rx="34" ry="19" fill="FUR"/><ellipse cx="44" cy="-6" rx="34" ry="19" fill="FUR"/><ellipse cx="-46" cy="-4" rx="16" ry="10" fill="PALE"/><ellipse cx="46" cy="-4" rx="16" ry="10" fill="PALE"/>
EARS<ellipse cx="0" cy="-226" rx="90" ry="77" fill="FUR"/>MARKS
<path d="M-58,-158 Q0,-126 58,-158 Q66,-142 54,-136 Q0,-108 -54,-136 Q-66,-142 -58,-158Z" fill="SCARF"/><path d="M26,-132 L58,-74 Q44,-64 28,-70 L12,-124Z" fill="SCARF"/><path d="M34,-82 l18,-8" stroke="INK" stroke-opacity=".2" stroke-width="5"/>"#;
    let shape = body
        .replace("TAIL", coat.tail)
        .replace("EARS", coat.ears)
        .replace("MARKS", coat.marks)
        .replace("FUR", coat.fur)
        .replace("PALE", coat.pale)
        .replace("INNER", coat.inner)
        .replace("SCARF", scarf)
        .replace("INK", palette.ink);
    Some(shape + &face(dice))
}

/// Two eyes, a nose, a smile and warm cheeks on a head around (0, -226).
fn face(dice: &mut Dice) -> String {
    let eyes = if dice.below(4) == 0 {
        r##"<path d="M-48,-224 Q-36,-210 -24,-224 M24,-224 Q36,-210 48,-224" stroke="#2b2030" stroke-width="6" stroke-linecap="round" fill="none"/>"##
    } else {
        r##"<circle cx="-36" cy="-226" r="10" fill="#2b2030"/><circle cx="36" cy="-226" r="10" fill="#2b2030"/><circle cx="-32.5" cy="-230" r="3.6" fill="#fff"/><circle cx="39.5" cy="-230" r="3.6" fill="#fff"/>"##
    };
    format!(
        r##"{eyes}<ellipse cx="-60" cy="-200" rx="15" ry="10" fill="#f2727a" opacity=".45"/><ellipse cx="60" cy="-200" rx="15" ry="10" fill="#f2727a" opacity=".45"/><path d="M-9,-205 Q0,-210 9,-205 Q6,-194 0,-194 Q-6,-194 -9,-205Z" fill="#2b2030"/><path d="M0,-194 V-188 M-14,-186 Q-6,-176 0,-187 Q6,-176 14,-186" stroke="#2b2030" stroke-width="4" stroke-linecap="round" fill="none"/>"##
    )
}

/// A child in a coat, about 330 high.
pub fn child(girl: bool, palette: &Palette, dice: &mut Dice) -> String {
    let skin = dice.pick(&["#ffdfc4", "#f3c9a5", "#d9a27c"]);
    let hair = dice.pick(&["#3a2a2e", "#54382e", "#2c2638"]);
    let (coat, trim) = dice.pick(&[
        (palette.blooms[0], palette.blooms[1]),
        (palette.blooms[1], palette.blooms[0]),
    ]);
    let back_hair = if girl {
        r#"<path d="M-84,-232 C-92,-330 92,-330 84,-232 C96,-190 88,-160 76,-148 H-76 C-88,-160 -96,-190 -84,-232Z" fill="HAIR"/>"#
    } else {
        ""
    };
    let fringe = if girl {
        r#"<path d="M-82,-226 C-84,-318 84,-318 82,-226 C66,-240 58,-262 52,-272 C20,-250 -40,-248 -60,-262 C-66,-248 -74,-236 -82,-226Z" fill="HAIR"/><path d="M54,-292 q26,-26 32,2 q-4,14 -26,8 q-22,16 -28,-4 q2,-18 22,-6Z" fill="TRIM"/>"#
    } else {
        r#"<path d="M-82,-218 C-96,-328 92,-330 82,-218 C74,-236 70,-252 66,-262 C40,-262 10,-270 -6,-284 C-20,-262 -54,-258 -66,-256 C-72,-244 -76,-232 -82,-218Z" fill="HAIR"/>"#
    };
    let shape = r##"BACK<path d="M-36,-40 h28 v34 q-14,8 -32,2Z M8,-40 h28 l4,36 q-18,6 -32,-2Z" fill="#4b3a48"/><path d="M-44,-148 C-70,-110 -84,-60 -88,-34 Q0,-14 88,-34 C84,-60 70,-110 44,-148Z" fill="COAT"/><path d="M-88,-40 Q0,-18 88,-40 L86,-54 Q0,-32 -86,-54Z" fill="TRIM"/>
<path d="M-52,-130 C-84,-108 -88,-86 -92,-72 M52,-130 C84,-108 88,-86 92,-72" stroke="COAT" stroke-width="28" stroke-linecap="round" fill="none"/><path d="M-46,-112 C-70,-96 -74,-80 -77,-66 M46,-112 C70,-96 74,-80 77,-66" stroke="INK" stroke-opacity=".18" stroke-width="4" stroke-linecap="round" fill="none"/><circle cx="-93" cy="-64" r="13" fill="SKIN"/><circle cx="93" cy="-64" r="13" fill="SKIN"/><circle cx="0" cy="-104" r="6" fill="TRIM"/><circle cx="0" cy="-78" r="6" fill="TRIM"/>
<circle cx="-80" cy="-214" r="14" fill="SKIN"/><circle cx="80" cy="-214" r="14" fill="SKIN"/><ellipse cx="0" cy="-220" rx="80" ry="74" fill="SKIN"/>FRINGE<path d="M-46,-154 Q0,-128 46,-154 Q54,-140 44,-134 Q0,-112 -44,-134 Q-54,-140 -46,-154Z" fill="TRIM"/>
<circle cx="-32" cy="-212" r="8" fill="#2b2030"/><circle cx="32" cy="-212" r="8" fill="#2b2030"/><circle cx="-29" cy="-215" r="3" fill="#fff"/><circle cx="35" cy="-215" r="3" fill="#fff"/><ellipse cx="-50" cy="-192" rx="15" ry="10" fill="#f2727a" opacity=".4"/><ellipse cx="50" cy="-192" rx="15" ry="10" fill="#f2727a" opacity=".4"/><path d="M-14,-184 Q0,-168 14,-184" stroke="#2b2030" stroke-width="4.5" stroke-linecap="round" fill="none"/>"##;
    shape
        .replace("BACK", back_hair)
        .replace("FRINGE", fringe)
        .replace("HAIR", hair)
        .replace("SKIN", skin)
        .replace("COAT", coat)
        .replace("INK", palette.ink)
        .replace("TRIM", trim)
}
