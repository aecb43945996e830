//! The painter. A cover is composed as an SVG out of layers: a sky, a scene, a figure, and a few things close to
//! the eye; then it is drawn as a square PNG.
//! Words in the title and in what the story is about choose the scene and the figure, and the title's own dice choose
//! everything else. There is no text in the drawing, so no font is ever needed.

mod animals;
mod figures;
mod land;
mod palette;
mod props;
mod scenes;
mod sky;

use super::dice::Dice;
use super::words::{self, Kind};
use palette::Palette;
use resvg::{tiny_skia, usvg};
use scenes::Scene;

/// The width and the height of a cover in pixels.
const SIDE: u32 = 1024;

/// Why a cover could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The composed drawing is not valid SVG.
    #[error("the drawing could not be read: {0}")]
    Drawing(#[from] usvg::Error),
    /// There was no room for the pixels.
    #[error("no canvas of {SIDE}x{SIDE} pixels could be made")]
    Canvas,
    /// The pixels could not be written as a PNG.
    #[error("the picture could not be written: {0}")]
    Encoding(String),
}

/// A cover drawn for this title: a PNG of 1024x1024 pixels without any text in it.
pub fn picture(title: &str, about: &str) -> Result<Vec<u8>, PictureError> {
    let tree = usvg::Tree::from_str(&drawing(title, about), &usvg::Options::default())?;
    let mut canvas = tiny_skia::Pixmap::new(SIDE, SIDE).ok_or(PictureError::Canvas)?;
    resvg::render(&tree, tiny_skia::Transform::default(), &mut canvas.as_mut());
    canvas
        .encode_png()
        .map_err(|error| PictureError::Encoding(error.to_string()))
}

/// The cover as an SVG.
fn drawing(title: &str, about: &str) -> String {
    let mut dice = Dice::of(&["picture", title, about]);
    // The words of the title come first, so that they win where only one can be shown.
    let known = words::known(&format!("{title}\n{about}"));
    let named: Vec<&str> = known.iter().map(|word| word.en[0]).collect();
    let hero = known.iter().find(|word| word.kind == Kind::Hero);
    let figure = match hero.or_else(|| known.iter().find(|word| figures::CAN_STAND.contains(&word.en[0]))) {
        Some(word) => word.en[0],
        None => dice.pick(figures::AT_LIBERTY),
    };
    let scene = Scene::choose(&named, figure, &mut dice);
    let palette = Palette::choose(&named, scene, &mut dice);

    let layers = [
        sky::sky(&palette, &named, &mut dice),
        scenes::back(scene, &palette, &named, &mut dice),
        figures::companions(&palette, &named, figure, &mut dice),
        figures::figure(figure, scene, &palette, &named, &mut dice),
        scenes::front(scene, &palette, &named, &mut dice),
    ]
    .concat();
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1024 1024"><defs>{}
<radialGradient id="edge" cx=".5" cy=".48" r=".75"><stop offset=".6" stop-color="{ink}" stop-opacity="0"/><stop offset="1" stop-color="{ink}" stop-opacity=".3"/></radialGradient></defs>
{layers}<rect width="1024" height="1024" fill="url(#edge)"/></svg>"##,
        palette.gradients(),
        ink = palette.ink,
    )
}

/// Puts a shape drawn around (0, 0) somewhere on the cover; `mirrored` makes it look the other way.
fn placed(shape: &str, x: f32, y: f32, size: f32, mirrored: bool) -> String {
    let across = if mirrored { -size } else { size };
    format!(r#"<g transform="translate({x:.1} {y:.1}) scale({across:.3} {size:.3})">{shape}</g>"#)
}

#[cfg(test)]
mod tests {
    use super::{drawing, picture, usvg};
    use std::collections::HashSet;

    #[test]
    fn the_picture_is_a_1024_square_png() {
        let png = picture("달을 찾은 여우", "").unwrap();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        assert_eq!(&png[16..24], &[0, 0, 4, 0, 0, 0, 4, 0]);
        assert!(png.len() < 600_000, "{} bytes", png.len());
    }

    #[test]
    fn two_titles_give_two_pictures_and_one_title_gives_one() {
        let first = picture("The Cat and the Sea", "").unwrap();
        assert_ne!(first, picture("The Cat and the Sea 2", "").unwrap());
        assert_eq!(first, picture("The Cat and the Sea", "").unwrap());
    }

    #[test]
    fn every_title_has_a_drawing_of_its_own() {
        let drawings: HashSet<String> = (0..200).map(|n| drawing(&format!("{n}"), "")).collect();
        assert_eq!(drawings.len(), 200);
    }

    #[test]
    fn words_steer_the_figure_in_both_languages() {
        for (korean, english) in [
            ("고래", "whale"),
            ("여우", "fox"),
            ("용", "dragon"),
            ("풍선", "balloon"),
            ("배", "boat"),
        ] {
            for title in [korean, english] {
                let mark = format!(r#"id="figure-{english}""#);
                assert!(drawing(title, "").contains(&mark), "{title}");
                assert!(drawing("?", title).contains(&mark), "about {title}");
            }
        }
        assert!(drawing("바다", "").contains(r#"id="sea""#));
        assert!(drawing("A walk in the forest", "").contains(r#"id="forest""#));
    }

    #[test]
    fn nothing_of_the_words_reaches_the_drawing() {
        for odd in [
            "",
            "<text>hi</text>",
            "\"/><script>",
            "&amp;\u{0}",
            "🎈",
            "끝".repeat(2000).as_str(),
        ] {
            let svg = drawing(odd, odd);
            assert!(!svg.contains("<text") && !svg.contains("script") && !svg.contains('끝'));
            usvg::Tree::from_str(&svg, &usvg::Options::default()).unwrap();
        }
    }

    #[test]
    fn every_known_figure_makes_a_valid_drawing() {
        for figure in [
            "fox", "cat", "dog", "rabbit", "bear", "tiger", "whale", "dragon", "bird", "girl", "boy", "moon", "star",
            "balloon", "boat", "kite", "flower", "tree", "house", "lantern", "rainbow", "sun",
        ] {
            for scene in [
                "", "sea", "forest", "mountain", "snow", "garden", "village", "night", "sky",
            ] {
                let svg = drawing(&format!("{figure} {scene}"), "");
                usvg::Tree::from_str(&svg, &usvg::Options::default()).unwrap();
            }
        }
    }
}
