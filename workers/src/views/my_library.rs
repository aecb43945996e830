//! What a member bought, as it was when they bought it, newest first.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::ids::{MemberId, PurchaseId};
use maru_schemas::purchases::{self, Event};
use maru_schemas::views::{LibraryBook, MY_LIBRARY, image_url};
use maru_streams::jobs::Delivery;
use maru_streams::store::{Key, Part};
use maru_streams::views::{FoldError, Rows, View};
use uuid::Uuid;

use super::{author, edition, fact};
use crate::facts::Fact;

/// `my_library:[member, newest first, purchase]`.
pub(super) struct MyLibraryView;

impl View for MyLibraryView {
    fn name(&self) -> &'static str {
        MY_LIBRARY
    }

    fn tables(&self) -> &'static [&'static str] {
        &[MY_LIBRARY]
    }

    fn contexts(&self) -> &'static [&'static str] {
        &[purchases::CONTEXT]
    }

    fn fold<'a>(&'a self, event: &'a Delivery, rows: &'a mut Rows) -> BoxFuture<'a, Result<(), FoldError>> {
        async move {
            match fact(event)? {
                Fact::Purchases(told) => about_purchase(event, &told, rows).await,
                _ => Ok(()),
            }
        }
        .boxed()
    }
}

fn key(member: MemberId, place: i64, purchase: Uuid) -> Key {
    Key::new(
        MY_LIBRARY,
        [Part::from(member.0), Part::Number(place), Part::from(purchase)],
    )
}

async fn about_purchase(event: &Delivery, told: &Event, rows: &mut Rows) -> Result<(), FoldError> {
    let id = event.envelope.subject;
    match told {
        Event::PurchaseCompleted {
            member,
            book,
            edition: number,
            amount,
        } => {
            let said = edition(rows, book.0, *number).await?;
            let place = rows.give_place(id, event.envelope.time)?;
            let row = LibraryBook {
                purchase_id: PurchaseId(id),
                book_id: *book,
                author: author(rows, said.author).await?,
                title: said.title,
                edition: *number,
                amount: *amount,
                image_url: said.image.map(image_url),
                bought_at: event.envelope.time,
            };
            rows.put(key(*member, place, id), &row)
        }
        Event::PurchaseRefunded { member, .. } => {
            if let Some(place) = rows.place(id).await? {
                rows.delete(key(*member, place, id));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
