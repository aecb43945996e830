//! The storyteller and the painter who live inside the house.
//! When no AI service is configured, a child still gets a story and a cover: both are composed here from
//! tables of sentences and shapes, without a network and without a clock.
//! The words of the title seed every choice, so the same wish is always answered in the same way.

mod dice;
mod particles;
mod picture;
mod story;
mod tales_en;
mod tales_ko;
mod words;

pub use picture::{PictureError, picture};
pub use story::story;
