//! The places of the covers. A scene has a back, which lies behind the figure and ends in the ground or the water it
//! stands on, and a front of things close to the eye that frame it.

use super::palette::Palette;
use super::{Dice, land, placed, props};

/// Where a cover takes place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// Open water with an island far off.
    Sea,
    /// Among trees.
    Forest,
    /// Rolling green hills.
    Hills,
    /// A hill under a great night sky.
    Night,
    /// Houses with open wooden porches.
    Village,
    /// Flowers everywhere.
    Garden,
    /// Peaks.
    Mountains,
    /// White hills and falling snow.
    Snow,
}

/// The ground under the figure.
pub const GROUND: f32 = 850.0;

impl Scene {
    /// The scene of the first word that names one; else one that suits the figure.
    pub fn choose(named: &[&str], figure: &str, dice: &mut Dice) -> Self {
        let by_word = |word: &&str| match *word {
            "sea" => Some(Self::Sea),
            "forest" => Some(Self::Forest),
            "mountain" => Some(Self::Mountains),
            "snow" => Some(Self::Snow),
            "garden" => Some(Self::Garden),
            "village" => Some(Self::Village),
            "night" => Some(Self::Night),
            // Whoever flies needs land to fly over.
            "sky" => Some(Self::Hills),
            _ => None,
        };
        let by_thing = |word: &&str| match *word {
            "flower" => Some(Self::Garden),
            "house" => Some(Self::Village),
            "tree" => Some(Self::Forest),
            "boat" | "whale" => Some(Self::Sea),
            "moon" | "star" | "lantern" => Some(dice.pick(&[Self::Night, Self::Forest, Self::Hills])),
            _ => None,
        };
        if let Some(scene) = named
            .iter()
            .find_map(by_word)
            .or_else(|| named.iter().find_map(by_thing))
        {
            return scene;
        }
        match figure {
            "whale" | "boat" => Self::Sea,
            _ => dice.pick(&[
                Self::Forest,
                Self::Hills,
                Self::Night,
                Self::Village,
                Self::Garden,
                Self::Mountains,
            ]),
        }
    }

    /// The name of the layer in the drawing.
    fn name(self) -> &'static str {
        match self {
            Self::Sea => "sea",
            Self::Forest => "forest",
            Self::Hills => "hills",
            Self::Night => "night",
            Self::Village => "village",
            Self::Garden => "garden",
            Self::Mountains => "mountains",
            Self::Snow => "snow",
        }
    }
}

/// What lies behind the figure.
pub fn back(scene: Scene, palette: &Palette, named: &[&str], dice: &mut Dice) -> String {
    let mut back = format!(r#"<g id="{}">"#, scene.name());
    if scene == Scene::Sea {
        back.push_str(&land::sea(palette, dice));
        return back + "</g>";
    }
    if scene == Scene::Mountains {
        back.push_str(&land::peaks(palette, dice));
    }
    back.push_str(&land::ridge(600.0, 70.0, "far", dice));
    if scene == Scene::Forest {
        back.push_str(&land::trees(palette, 11, 655.0, 0.9, 0, dice));
    }
    back.push_str(&land::ridge(680.0, 55.0, "mid", dice));
    match scene {
        Scene::Forest => {
            back.push_str(&land::trees(palette, 7, 745.0, 1.35, 1, dice));
        }
        Scene::Village => {
            for (x, y, size) in [(180.0, 705.0, 0.5), (835.0, 700.0, 0.55)] {
                back.push_str(&placed(
                    &props::porch_house(palette),
                    x + dice.between(-40.0, 40.0),
                    y,
                    size,
                    dice.coin(),
                ));
            }
            back.push_str(&land::trees(palette, 3, 715.0, 0.7, 1, dice));
        }
        Scene::Snow => {
            for _ in 0..8 {
                let (x, size) = (dice.between(0.0, 1024.0), dice.between(0.55, 0.95));
                back.push_str(&placed(
                    &props::pine(palette, 2, true),
                    x,
                    700.0 + size * 45.0,
                    size,
                    false,
                ));
            }
        }
        Scene::Mountains => {
            for _ in 0..9 {
                let (x, size) = (dice.between(0.0, 1024.0), dice.between(0.4, 0.75));
                back.push_str(&placed(
                    &props::pine(palette, 1, false),
                    x,
                    695.0 + size * 60.0,
                    size,
                    false,
                ));
            }
        }
        Scene::Night => {}
        _ => back.push_str(&land::trees(palette, 4, 720.0, 0.75, 1, dice)),
    }
    if named.contains(&"house") && scene != Scene::Village {
        back.push_str(&placed(
            &props::porch_house(palette),
            dice.between(160.0, 300.0),
            735.0,
            0.6,
            false,
        ));
    }
    // Mist between the hills and the ground makes the ground come nearer.
    back.push_str(&format!(
        r#"<ellipse cx="{:.1}" cy="760" rx="620" ry="60" fill="{}" opacity=".22"/>"#,
        dice.between(200.0, 800.0),
        palette.mist
    ));
    back.push_str(&land::ridge(800.0, 28.0, "near", dice));
    back + "</g>"
}

/// What lies before the figure.
pub fn front(scene: Scene, palette: &Palette, named: &[&str], dice: &mut Dice) -> String {
    let mut front = String::new();
    match scene {
        Scene::Sea => {}
        Scene::Snow => {
            for _ in 0..70 {
                front.push_str(&format!(
                    r##"<circle cx="{:.1}" cy="{:.1}" r="{:.1}" fill="#ffffff" opacity="{:.2}"/>"##,
                    dice.between(0.0, 1024.0),
                    dice.between(0.0, 1000.0),
                    dice.between(2.0, 8.0),
                    dice.between(0.5, 0.95)
                ));
            }
        }
        _ => {
            let flowers = if scene == Scene::Garden || named.contains(&"flower") {
                15
            } else {
                6
            };
            for n in 0..flowers + 10 {
                // The middle stays clear for the figure.
                let side = if dice.coin() {
                    dice.between(-10.0, 330.0)
                } else {
                    dice.between(700.0, 1034.0)
                };
                let y = 880.0 + 150.0 * (n as f32) / (flowers + 10) as f32;
                let size = 0.55 + (y - 880.0) / 210.0;
                let shape = if n < 10 {
                    props::grass(palette.leaves[2])
                } else {
                    props::flower(palette, dice)
                };
                front.push_str(&placed(&shape, side, y, size, dice.coin()));
            }
        }
    }
    if scene == Scene::Night || named.contains(&"lantern") {
        for _ in 0..12 {
            // Fireflies keep out of the figure's face.
            let x = if dice.coin() {
                dice.between(30.0, 330.0)
            } else {
                dice.between(694.0, 994.0)
            };
            let (y, r) = (dice.between(520.0, 960.0), dice.between(3.0, 6.0));
            front.push_str(&format!(r##"<circle cx="{x:.1}" cy="{y:.1}" r="{:.1}" fill="url(#glow)"/><circle cx="{x:.1}" cy="{y:.1}" r="{r:.1}" fill="{}"/>"##, r * 6.0, palette.light));
        }
    }
    front
}
