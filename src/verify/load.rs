//! People who write, sell, buy, review and give back, all at once, as long as they are let. Each of them
//! does one thing after the other and insists on it; so as many requests are in flight as there are people,
//! and one more: the watchman's, who only looks whether commands are taken in.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use maru_streams::oracle::Finding;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Wish};
use super::dice::Dice;
use super::money::Sale;

/// The sandbox bank's test numbers, with how often in a hundred each is used.
const CARDS: [(&str, u64); 3] = [
    ("4242 4242 4242 4242", 88),
    ("4000 0000 0000 0002", 8),
    // Charged, but the first answer never comes.
    ("4000 0000 0000 0341", 4),
];

/// How often the watchman asks.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// What everybody can buy.
type Shelf = Arc<Mutex<Vec<Offer>>>;

#[derive(Clone)]
struct Offer {
    book: String,
    author: String,
}

/// One of them, with what they were told.
pub struct Person {
    pub client: Client,
    dice: Dice,
    shelf: Shelf,
    steps: u64,
    /// Their books with the version of the last answer.
    books: Vec<(String, u64)>,
    drafts: Vec<String>,
    ordered: Vec<String>,
    bought: HashSet<String>,
    reviewed: HashSet<String>,
    returned: HashSet<String>,
}

/// Everybody who was sent to the door.
pub struct Crowd {
    people: JoinSet<Person>,
    /// Cancelled when nobody shall begin anything new.
    pub ending: CancellationToken,
}

impl Crowd {
    /// Sends so many people and a watchman; `client` is what they have in common.
    pub fn send(size: usize, client: &Client, dice: &mut Dice) -> Self {
        let (mut people, shelf, ending) = (JoinSet::new(), Shelf::default(), CancellationToken::new());
        for nth in 0..=size {
            let person = Person {
                client: Client {
                    name: format!("{}-{nth}", client.name),
                    ..client.clone()
                },
                dice: dice.split(),
                shelf: Arc::clone(&shelf),
                steps: 0,
                books: Vec::new(),
                drafts: Vec::new(),
                ordered: Vec::new(),
                bought: HashSet::new(),
                reviewed: HashSet::new(),
                returned: HashSet::new(),
            };
            let ending = ending.clone();
            if nth == size {
                people.spawn(person.watches(ending));
            } else {
                people.spawn(person.lives(ending));
            }
        }
        Self { people, ending }
    }

    /// Whether everybody has come to an end.
    pub fn is_home(&mut self, home: &mut Vec<Person>) -> bool {
        while let Some(came) = self.people.try_join_next() {
            home.extend(came.ok());
        }
        self.people.is_empty()
    }
}

impl Person {
    async fn lives(mut self, ending: CancellationToken) -> Self {
        if self.client.joins().await.is_some() {
            while !ending.is_cancelled() && !self.client.given_up.is_cancelled() {
                self.steps += 1;
                self.does_something().await;
            }
        }
        self
    }

    /// Asks for something new ten times a second and insists on nothing, so that it is known when commands are
    /// taken in again. Those who insist cannot tell: they may all be waiting for what a crash left behind.
    async fn watches(mut self, ending: CancellationToken) -> Self {
        if self.client.joins().await.is_none() {
            return self;
        }
        while !ending.is_cancelled() {
            self.steps += 1;
            let wish = Wish {
                method: Method::POST,
                path: "/v1/books",
                key: &self.key(),
                body: json!({ "title": "Nothing in particular", "synopsis": "None yet." }),
                events: 1,
                in_passing: false,
            };
            self.client.asks_once(&wish).await;
            tokio::time::sleep(WATCH_EVERY).await;
        }
        self
    }

    /// The key of this step; `Idempotency-Key` is per person and address.
    fn key(&self) -> String {
        format!("step-{}", self.steps)
    }

    async fn does_something(&mut self) -> Option<()> {
        match self.dice.below(100) {
            0..30 => self.writes().await,
            30..60 => self.edits().await,
            60..85 => self.buys().await,
            85..93 => self.reviews().await,
            93..98 => self.gives_back().await,
            _ => self.has_it_written().await,
        }
    }

    async fn insists(&mut self, method: Method, path: &str, body: Value, events: u64) -> Option<Value> {
        let key = self.key();
        let in_passing = self.dice.below(4) == 0;
        let wish = Wish {
            method,
            path,
            key: &key,
            body,
            events,
            in_passing,
        };
        self.client.insists(wish).await
    }

    async fn writes(&mut self) -> Option<()> {
        let price = self.dice.below(4) * 100;
        let title = format!("Book {} of {}", self.steps, self.client.name);
        let new = json!({ "title": title, "contents": "Once upon a time.", "price": price });
        let made = self.insists(Method::POST, "/v1/books", new, 2).await?;
        let (book, version) = (made["id"].as_str()?.to_owned(), made["version"].as_u64()?);
        self.sees(&book, version, made["seq"].as_u64()).await;
        let offer = Offer {
            book: book.clone(),
            author: self.client.name.clone(),
        };
        self.books.push((book, version));
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).push(offer);
        Some(())
    }

    async fn edits(&mut self) -> Option<()> {
        let (book, version) = self.dice.pick(&self.books)?.clone();
        // No book costs so much at first, and no step comes twice: so each is a change.
        let change = json!({ "price": 1_000 + self.steps });
        let path = format!("/v1/books/{book}");
        let made = self.insists(Method::PATCH, &path, change, 1).await?;
        let told = made["version"].as_u64()?;
        if told != version + 1 {
            let what = format!("book {book}: its only author was told version {told} after {version}");
            self.client.journal.finds("version_jumped", what);
        }
        for known in self.books.iter_mut().filter(|known| known.0 == book) {
            known.1 = told;
        }
        self.sees(&book, told, made["seq"].as_u64()).await;
        Some(())
    }

    /// Reads what was written just now: with the token it must be there, or the door says that it is behind.
    async fn sees(&mut self, book: &str, version: u64, token: Option<u64>) -> Option<()> {
        let token = token?;
        let path = format!("/v1/books/{book}");
        let (status, seen) = self.client.reads(&path, Some(token)).await?;
        self.client.journal.reads();
        let is_old = status.is_success() && seen["version"].as_u64() < Some(version);
        if is_old || status == StatusCode::NOT_FOUND {
            let found = &seen["version"];
            let what =
                format!("book {book}: read with token {token}, version {version} was to be seen and {found} was");
            self.client.journal.finds("token_not_honoured", what);
        }
        Some(())
    }

    async fn buys(&mut self) -> Option<()> {
        let offer = {
            let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
            self.dice.pick(&shelf)?.clone()
        };
        if offer.author == self.client.name || !self.bought.insert(offer.book.clone()) {
            return None;
        }
        let mut left = self.dice.below(100);
        let card = CARDS.iter().find(|(_, share)| {
            let is_it = left < *share;
            left = left.saturating_sub(*share);
            is_it
        });
        let order = json!({ "bookId": offer.book, "card": card?.0 });
        let made = self.insists(Method::POST, "/v1/purchases", order, 1).await?;
        self.ordered.push(made["id"].as_str()?.to_owned());
        Some(())
    }

    /// One of their purchases, if it is paid by now.
    async fn paid(&mut self) -> Option<(String, String)> {
        let purchase = self.dice.pick(&self.ordered)?.clone();
        let seen = self.client.finds_out(&format!("/v1/purchases/{purchase}")).await?;
        let is_paid = seen["state"] == "COMPLETED";
        is_paid.then_some((purchase, seen["bookId"].as_str()?.to_owned()))
    }

    async fn reviews(&mut self) -> Option<()> {
        let (_, book) = self.paid().await?;
        if !self.reviewed.insert(book.clone()) {
            return None;
        }
        let review = json!({ "content": "Read in one sitting.", "rating": 4.5 });
        let path = format!("/v1/books/{book}/reviews");
        self.insists(Method::POST, &path, review, 1).await?;
        Some(())
    }

    async fn gives_back(&mut self) -> Option<()> {
        let (purchase, _) = self.paid().await?;
        // Asked twice, the second time would rightly be refused.
        if !self.returned.insert(purchase.clone()) {
            return None;
        }
        let path = format!("/v1/purchases/{purchase}/refund");
        self.insists(Method::POST, &path, Value::Null, 1).await?;
        Some(())
    }

    async fn has_it_written(&mut self) -> Option<()> {
        let draft = json!({ "title": format!("Draft {}", self.steps), "synopsis": "A whale looks for a star." });
        let made = self.insists(Method::POST, "/v1/books", draft, 1).await?;
        let book = made["id"].as_str()?.to_owned();
        let wish = json!({ "image": self.dice.below(2) == 0 });
        let path = format!("/v1/books/{book}/ai-draft");
        self.insists(Method::POST, &path, wish, 1).await?;
        self.drafts.push(book);
        Some(())
    }

    /// Afterwards, through the door: where everything stands that this person was told of.
    pub async fn looks_back(&mut self) -> (Vec<Sale>, Vec<Finding>) {
        let (mut sales, mut findings) = (Vec::new(), Vec::new());
        for purchase in std::mem::take(&mut self.ordered) {
            match self.client.finds_out(&format!("/v1/purchases/{purchase}")).await {
                Some(seen) => sales.push(Sale::read(&purchase, &seen)),
                None => findings.push(Finding::new(
                    "gone",
                    format!("purchase {purchase} is not there any more"),
                )),
            }
        }
        for (book, version) in std::mem::take(&mut self.books) {
            let seen = self.client.finds_out(&format!("/v1/books/{book}")).await;
            let found = seen.map(|seen| seen["version"].clone()).unwrap_or_default();
            // Nobody but its author changes such a book.
            if found != version {
                let what = format!("book {book}: its author was told version {version}, it is shown at {found}");
                findings.push(Finding::new("version_differs", what));
            }
        }
        for book in std::mem::take(&mut self.drafts) {
            let seen = self.client.finds_out(&format!("/v1/books/{book}")).await;
            let seen = seen.unwrap_or_default();
            if seen["storyStatus"] != "READY" {
                let what = format!("book {book}: its story was ordered and is {}", seen["storyStatus"]);
                findings.push(Finding::new("unfinished", what));
            }
        }
        (sales, findings)
    }
}
