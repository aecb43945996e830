//! Saying no. A refusal is a business answer, not an error: it has a stable code for programs, an
//! HTTP status for the door, and a sentence that tells a person what to do.

/// A reason for which a context turns a command down.
pub trait Refusal: Copy + std::fmt::Debug + PartialEq + Send + Sync + 'static {
    /// Every reason of this context.
    const ALL: &'static [Self];
    /// Stable, unique in the house, upper snake case.
    fn code(&self) -> &'static str;
    /// The status a caller gets at the door.
    fn http(&self) -> u16;
    /// What happened and what to do, in one sentence.
    fn sentence(&self) -> &'static str;

    /// All three together.
    fn entry(&self) -> Entry {
        Entry {
            code: self.code(),
            http: self.http(),
            sentence: self.sentence(),
        }
    }
}

/// A code with its status and sentence, for listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The stable code.
    pub code: &'static str,
    /// The HTTP status.
    pub http: u16,
    /// The sentence.
    pub sentence: &'static str,
}

/// Declares a context's refusals, one a line, so that none can lack its sentence.
macro_rules! refusals {
    ($($name:ident = $code:literal, $http:literal, $sentence:literal;)+) => {
        /// Why this context says no.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Refusal {
            $(#[doc = $sentence] $name,)+
        }

        impl $crate::refusal::Refusal for Refusal {
            const ALL: &'static [Self] = &[$(Self::$name,)+];

            fn code(&self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            fn http(&self) -> u16 {
                match self { $(Self::$name => $http,)+ }
            }

            fn sentence(&self) -> &'static str {
                match self { $(Self::$name => $sentence,)+ }
            }
        }
    };
}
pub(crate) use refusals;

/// What is said of a command whose outcome the database has lost and that had changed nothing.
pub const OUTCOME_LOST: Entry = Entry {
    code: "OUTCOME_LOST",
    http: 409,
    sentence: "What became of this was lost in a crash; nothing changed; send it again with a new key.",
};

/// Every refusal of every context, and the one of the house itself.
#[must_use]
pub fn all() -> Vec<Entry> {
    fn of<R: Refusal>() -> impl Iterator<Item = Entry> {
        R::ALL.iter().map(Refusal::entry)
    }
    of::<crate::members::Refusal>()
        .chain(of::<crate::books::Refusal>())
        .chain(of::<crate::payments::Refusal>())
        .chain(of::<crate::purchases::Refusal>())
        .chain(of::<crate::reviews::Refusal>())
        .chain([OUTCOME_LOST])
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn every_refusal_has_its_own_code_a_status_and_a_sentence() {
        let mut codes = HashSet::new();
        for entry in super::all() {
            assert!(codes.insert(entry.code), "{} is used twice", entry.code);
            assert!(
                entry.code.chars().all(|c| c.is_ascii_uppercase() || c == '_'),
                "{}",
                entry.code
            );
            assert!(
                (400..500).contains(&entry.http),
                "{} is not the caller's error",
                entry.code
            );
            assert!(
                entry.sentence.ends_with('.') && entry.sentence.len() > 20,
                "{}",
                entry.code
            );
        }
    }
}
