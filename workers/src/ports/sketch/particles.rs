//! Korean particles follow the last sound of the word before them: 여우가, but 곰이.
//! For Hangul the sound is written in the code point; digits and Latin letters are read the way Korean reads
//! them aloud, roughly. A word with no readable sound gets both forms, as a careful letter would: 을(를).

/// How a word ends when it is read aloud.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// A vowel: 여우.
    Open,
    /// The consonant ㄹ, which 으로 treats like a vowel: 달.
    Rieul,
    /// Any other final consonant: 곰.
    Closed,
    /// Nothing that can be read aloud.
    Silent,
}

/// The particle, named by its form after a consonant, in the form that fits this word.
/// A name that is no particle comes back as it is.
pub fn particle(word: &str, name: &str) -> String {
    let (closed, open) = match name {
        "은" => ("은", "는"),
        "이" => ("이", "가"),
        "을" => ("을", "를"),
        "과" => ("과", "와"),
        "으로" => ("으로", "로"),
        "이라는" => ("이라는", "라는"),
        "이라고" => ("이라고", "라고"),
        "이었어요" => ("이었어요", "였어요"),
        "이에요" => ("이에요", "예요"),
        other => return other.to_owned(),
    };
    match ending(word) {
        Ending::Open => open.to_owned(),
        Ending::Rieul if name == "으로" => open.to_owned(),
        Ending::Rieul | Ending::Closed => closed.to_owned(),
        Ending::Silent => format!("{closed}({open})"),
    }
}

fn ending(word: &str) -> Ending {
    // Brackets, marks and emoji after the word are not read aloud.
    let spoken: Vec<char> = word.chars().filter(|c| c.is_alphanumeric()).collect();
    let Some(&last) = spoken.last() else {
        return Ending::Silent;
    };
    let before = spoken.iter().rev().nth(1).map(char::to_ascii_lowercase);
    match last.to_ascii_lowercase() {
        // A Hangul syllable is counted in blocks of 28 finals; 0 is no final and 8 is ㄹ.
        '가'..='힣' => match (u32::from(last) - 0xAC00) % 28 {
            0 => Ending::Open,
            8 => Ending::Rieul,
            _ => Ending::Closed,
        },
        // 일, 칠, 팔; 영, 삼, 육; 이, 사, 오, 구.
        '1' | '7' | '8' => Ending::Rieul,
        '0' | '3' | '6' => Ending::Closed,
        '2' | '4' | '5' | '9' => Ending::Open,
        'l' => Ending::Rieul,
        'm' | 'n' => Ending::Closed,
        'g' if before == Some('n') => Ending::Closed,
        // 북, 캣, 맵: after a vowel these close the syllable.
        'k' | 'p' | 't' | 'c' if matches!(before, Some('a' | 'e' | 'i' | 'o' | 'u')) => Ending::Closed,
        'a'..='z' => Ending::Open,
        _ => Ending::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::particle;

    #[test]
    fn particles_follow_the_last_sound() {
        for (word, name, expected) in [
            ("여우", "이", "가"),
            ("곰", "이", "이"),
            ("바다", "을", "를"),
            ("달", "을", "을"),
            ("고래", "과", "와"),
            ("숲", "과", "과"),
            ("숲", "으로", "으로"),
            ("바다", "으로", "로"),
            ("달", "으로", "로"),
            ("별", "은", "은"),
            ("〈달을 찾은 여우〉", "이라는", "라는"),
            ("〈어디 있니, 곰?〉", "이라는", "이라는"),
        ] {
            assert_eq!(particle(word, name), expected, "{word} + {name}");
        }
    }

    #[test]
    fn foreign_words_and_numbers_are_read_aloud() {
        for (word, name, expected) in [
            ("Mina", "은", "는"),
            ("Moon", "은", "은"),
            ("book", "을", "을"),
            ("Star Girl", "으로", "로"),
            ("7", "으로", "로"),
            ("3", "이", "이"),
            ("2", "이", "가"),
        ] {
            assert_eq!(particle(word, name), expected, "{word} + {name}");
        }
    }

    #[test]
    fn a_word_without_a_sound_gets_both_forms() {
        assert_eq!(particle("🎈🎈", "을"), "을(를)");
        assert_eq!(particle("", "이"), "이(가)");
    }
}
