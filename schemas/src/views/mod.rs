//! The rows that readers get, one file a view. A view's name is its table, its consumer and its
//! metric label. Rows are keyed for their query: lists are read forward through a key range, newest
//! first, which is why a key holds an inverted time.

mod book_detail;
mod book_home;
mod book_reviews;
mod my_books;
mod my_library;
mod payment_history;

pub use book_detail::BookDetail;
pub use book_home::{Author, BookHome};
pub use book_reviews::BookReview;
pub use my_books::MyBook;
pub use my_library::LibraryBook;
pub use payment_history::PaymentEntry;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::ImageId;

/// The catalogue: `book_home:[newest first, book]`.
pub const BOOK_HOME: &str = "book_home";
/// One book: `book_detail:[book]`.
pub const BOOK_DETAIL: &str = "book_detail";
/// An author's own books: `my_books:[author, newest first, book]`.
pub const MY_BOOKS: &str = "my_books";
/// What a member bought: `my_library:[member, newest first, purchase]`.
pub const MY_LIBRARY: &str = "my_library";
/// What readers say: `book_reviews:[book, newest first, review]`.
pub const BOOK_REVIEWS: &str = "book_reviews";
/// What a member paid: `payment_history:[member, newest first, payment]`.
pub const PAYMENT_HISTORY: &str = "payment_history";

/// Every view of the house.
pub const VIEWS: [&str; 6] = [
    BOOK_HOME,
    BOOK_DETAIL,
    MY_BOOKS,
    MY_LIBRARY,
    BOOK_REVIEWS,
    PAYMENT_HISTORY,
];

/// The address of an image at the door.
#[must_use]
pub fn image_url(image: ImageId) -> String {
    format!("/v1/images/{image}")
}

/// What readers think of a book. Kept as whole numbers, so that the mean is exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rating {
    /// The mean in stars, 0.5 to 5; absent while nobody has said anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating_avg: Option<f64>,
    /// How many reviews there are.
    pub review_count: u64,
    /// The sum of all ratings, in half stars.
    pub rating_half_stars: u64,
}

impl Rating {
    /// With one review more, fewer, or another rating: `half_stars` and `reviews` are differences.
    #[must_use]
    pub fn changed(self, half_stars: i64, reviews: i64) -> Self {
        let rating_half_stars = self.rating_half_stars.saturating_add_signed(half_stars);
        let review_count = self.review_count.saturating_add_signed(reviews);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a mean of at most 5 needs no 2^53rd half star"
        )]
        let rating_avg = (review_count > 0).then(|| rating_half_stars as f64 / 2.0 / review_count as f64);
        Self {
            rating_avg,
            review_count,
            rating_half_stars,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rating;

    #[test]
    fn the_average_is_the_mean_of_what_readers_gave() {
        let two = Rating::default().changed(9, 1).changed(4, 1);
        assert_eq!(two.rating_avg, Some(3.25));
        assert_eq!(two.changed(-9, -1).rating_avg, Some(2.0));
        assert_eq!(two.changed(-9, -1).changed(-4, -1), Rating::default());
    }
}
