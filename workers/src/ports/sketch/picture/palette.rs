//! The colours of a cover. Each palette was mixed by hand as one harmony, from the sky down to the grass; the dice
//! only choose among them, and a night, a snowfall or a bright morning narrows the choice.

use super::Dice;
use super::scenes::Scene;

/// One harmony of colours.
#[derive(Clone, Copy)]
pub struct Palette {
    /// The sky from the top down to the horizon.
    pub sky: [&'static str; 3],
    /// The hills from far away to near.
    pub hills: [&'static str; 3],
    /// The sea, far and near.
    pub water: [&'static str; 2],
    /// Leaves and crowns, from light to dark.
    pub leaves: [&'static str; 3],
    /// Flowers, sails and scarves.
    pub blooms: [&'static str; 3],
    /// The sun, the moon and every lit window.
    pub light: &'static str,
    /// Clouds and mist.
    pub mist: &'static str,
    /// The darkest colour; eyes and shadows.
    pub ink: &'static str,
    /// Stars are out.
    pub night: bool,
}

const DAYS: &[Palette] = &[
    // A clear morning.
    Palette {
        sky: ["#6fbfe3", "#b5e2ef", "#fff1d0"],
        hills: ["#a8d8c8", "#7cc29c", "#4f9d78"],
        water: ["#6db7d6", "#2f7fae"],
        leaves: ["#9ad08a", "#62ad79", "#3f8468"],
        blooms: ["#f2735f", "#ffd166", "#f7a8b8"],
        light: "#fff3c4",
        mist: "#ffffff",
        ink: "#2b3a55",
        night: false,
    },
    // Peach and plum.
    Palette {
        sky: ["#f6a598", "#fbcdb0", "#fff0d6"],
        hills: ["#dcb6c6", "#b48fb5", "#7d6a9d"],
        water: ["#b48fb5", "#7d6a9d"],
        leaves: ["#e6a6a0", "#b57796", "#705a8c"],
        blooms: ["#ff7f6b", "#ffd27a", "#fff2ea"],
        light: "#fff6d6",
        mist: "#fff5ee",
        ink: "#43335a",
        night: false,
    },
    // Mint and cream.
    Palette {
        sky: ["#8fd6c8", "#c8eedb", "#fff8dc"],
        hills: ["#b9dfb4", "#86c4a0", "#4c9486"],
        water: ["#7cc6c4", "#3f95a3"],
        leaves: ["#c1dc88", "#79b77f", "#3c7f77"],
        blooms: ["#ff9a76", "#ffe08a", "#ffffff"],
        light: "#fffbe0",
        mist: "#ffffff",
        ink: "#234a52",
        night: false,
    },
    // A golden autumn.
    Palette {
        sky: ["#f2b65c", "#f9d895", "#fff4d8"],
        hills: ["#e3b06b", "#c98447", "#8f5a3c"],
        water: ["#8fb8a8", "#4b8a8a"],
        leaves: ["#f2a541", "#d9713c", "#9c4a3a"],
        blooms: ["#d94f3d", "#ffe29a", "#fff3dc"],
        light: "#fff8df",
        mist: "#fff7e6",
        ink: "#4a2c2a",
        night: false,
    },
    // Lavender afternoon.
    Palette {
        sky: ["#a99be0", "#d9c6ee", "#ffe9e2"],
        hills: ["#b8c0e6", "#8fa6d0", "#5f83ae"],
        water: ["#8fa6d0", "#5f83ae"],
        leaves: ["#a6d3c0", "#6eaeb0", "#47829a"],
        blooms: ["#f58ca8", "#ffd98a", "#ffffff"],
        light: "#fff5d8",
        mist: "#ffffff",
        ink: "#353863",
        night: false,
    },
];

const NIGHTS: &[Palette] = &[
    // Deep blue.
    Palette {
        sky: ["#141b47", "#2c3f80", "#7d8fce"],
        hills: ["#43569c", "#2e3f7c", "#1e2b5c"],
        water: ["#2e3f7c", "#1e2b5c"],
        leaves: ["#4f73a6", "#34558a", "#223a6b"],
        blooms: ["#ff8f7a", "#ffd97d", "#c9b6ff"],
        light: "#fff0b8",
        mist: "#b9c6f2",
        ink: "#0d1233",
        night: true,
    },
    // Teal and gold.
    Palette {
        sky: ["#0e2a45", "#1d5468", "#79b5a6"],
        hills: ["#3d7d82", "#285f6c", "#164456"],
        water: ["#285f6c", "#164456"],
        leaves: ["#4f9a8a", "#2f7474", "#1b4f5c"],
        blooms: ["#ffa066", "#ffdc85", "#f7c6c0"],
        light: "#fff2c0",
        mist: "#bfe3da",
        ink: "#08202f",
        night: true,
    },
    // Violet dusk.
    Palette {
        sky: ["#3a2d70", "#a3578f", "#ffb58a"],
        hills: ["#95588f", "#693f7d", "#432c62"],
        water: ["#693f7d", "#432c62"],
        leaves: ["#8a5a9c", "#633f80", "#432c62"],
        blooms: ["#ff8a73", "#ffd480", "#ffc4d6"],
        light: "#fff0c9",
        mist: "#f5c3c8",
        ink: "#221640",
        night: true,
    },
];

impl Palette {
    /// A harmony that fits the words and the scene.
    pub fn choose(named: &[&str], scene: Scene, dice: &mut Dice) -> Self {
        let says = |words: &[&str]| words.iter().any(|word| named.contains(word));
        let night = scene == Scene::Night
            || says(&["moon", "star", "night", "lantern"])
            || (!says(&["sun", "rainbow", "kite", "flower"]) && dice.below(5) == 0);
        let mut palette = dice.pick(if night { NIGHTS } else { DAYS });
        if scene == Scene::Snow && !night {
            // Snow wants a cool sky.
            palette = dice.pick(&[DAYS[0], DAYS[2], DAYS[4]]);
        }
        if scene == Scene::Sea {
            palette.hills = [palette.hills[0], palette.water[0], palette.water[1]];
        }
        if scene == Scene::Snow {
            palette.leaves = if night {
                palette.leaves
            } else {
                ["#8fb8b0", "#5f9490", "#3f7478"]
            };
            palette.hills = if night {
                ["#8c9dd0", "#b4c2e8", "#dde5f8"]
            } else {
                ["#cfe0f0", "#e6f0f8", "#fbfdff"]
            };
        }
        palette
    }

    /// The definitions that the layers refer to: `sky`, `near`, `glow` and `water`.
    pub fn gradients(&self) -> String {
        let [top, middle, low] = self.sky;
        let [far, mid, near] = self.hills;
        let (light, ink) = (self.light, self.ink);
        format!(
            r##"<linearGradient id="sky" x2="0" y2="1"><stop offset="0" stop-color="{top}"/><stop offset=".45" stop-color="{middle}"/><stop offset=".75" stop-color="{low}"/></linearGradient>
<linearGradient id="far" x2="0" y2="1"><stop offset="0" stop-color="{far}"/><stop offset="1" stop-color="{low}"/></linearGradient>
<linearGradient id="mid" x2="0" y2="1"><stop offset="0" stop-color="{mid}"/><stop offset="1" stop-color="{far}"/></linearGradient>
<linearGradient id="near" x2="0" y2="1"><stop offset="0" stop-color="{near}"/><stop offset="1" stop-color="{mid}"/></linearGradient>
<radialGradient id="glow"><stop offset="0" stop-color="{light}" stop-opacity=".85"/><stop offset=".35" stop-color="{light}" stop-opacity=".3"/><stop offset=".65" stop-color="{light}" stop-opacity=".08"/><stop offset="1" stop-color="{light}" stop-opacity="0"/></radialGradient>
<radialGradient id="dark"><stop offset="0" stop-color="{ink}" stop-opacity=".35"/><stop offset="1" stop-color="{ink}" stop-opacity="0"/></radialGradient>"##
        )
    }
}
