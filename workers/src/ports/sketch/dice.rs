//! Dice that always fall the same way for the same words.
//! A SHA-256 of the words gives the first state, and splitmix64 rolls on from there.
//! This is for choosing pictures and sentences, never for secrets.

use sha2::{Digest, Sha256};

/// A small deterministic generator.
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Dice seeded by these words; every word is measured first, so `["ab", "c"]` is not `["a", "bc"]`.
    pub fn of(words: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for word in words {
            hash.update((word.len() as u64).to_le_bytes());
            hash.update(word.as_bytes());
        }
        let state = hash
            .finalize()
            .iter()
            .take(8)
            .fold(0u64, |state, byte| (state << 8) | u64::from(*byte));
        Self { state }
    }

    /// The next raw number (splitmix64).
    fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, but not including, `end`; 0 when there is nothing to choose from.
    pub fn below(&mut self, end: usize) -> usize {
        // The tables are tiny beside 2^64, so the bias of a plain remainder cannot be seen.
        (self.roll() % (end.max(1) as u64)) as usize
    }

    /// A number between `low` and `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.roll() >> 40) as f32 / (1u64 << 24) as f32;
        low + unit * (high - low)
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.roll() & 1 == 1
    }

    /// One entry of a table; the tables are written in the source and are never empty.
    pub fn pick<T: Copy>(&mut self, table: &[T]) -> T {
        table[self.below(table.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn the_same_words_roll_the_same_numbers() {
        let (mut one, mut two) = (Dice::of(&["moon", "fox"]), Dice::of(&["moon", "fox"]));
        for _ in 0..50 {
            assert_eq!(one.below(1000), two.below(1000));
        }
    }

    #[test]
    fn the_place_of_a_word_matters() {
        assert_ne!(Dice::of(&["ab", "c"]).roll(), Dice::of(&["a", "bc"]).roll());
    }

    #[test]
    fn numbers_stay_in_their_range_and_reach_all_of_it() {
        let mut dice = Dice::of(&["range"]);
        let mut seen = [false; 6];
        for _ in 0..500 {
            seen[dice.below(6)] = true;
            let between = dice.between(-2.0, 3.0);
            assert!((-2.0..=3.0).contains(&between));
        }
        assert_eq!(seen, [true; 6]);
        assert_eq!(dice.below(0), 0);
    }
}
