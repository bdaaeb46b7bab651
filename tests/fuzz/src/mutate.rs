//! New inputs out of kept ones, always the same for the same seed.

use fastrand::Rng;

/// The longest input that is made, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// Changes of one input.
const MAX_CHANGES: usize = 6;
/// Numbers at which readers err: the ends of their types, and one beyond.
const NUMBERS: [&str; 10] =
    ["-1", "0", "1", "255", "65536", "2147483648", "4294967296", "9223372036854775808", "18446744073709551616", "1e400"];

/// Makes inputs for one target.
pub struct Mutator<'a> {
    inputs: &'a [Vec<u8>],
    words: &'a [Vec<u8>],
    random: Rng,
}

impl<'a> Mutator<'a> {
    /// Changes these inputs, with these words.
    pub fn new(inputs: &'a [Vec<u8>], words: &'a [Vec<u8>], seed: u64) -> Self {
        Self { inputs, words, random: Rng::with_seed(seed) }
    }

    /// The next input.
    pub fn mutate(&mut self) -> Vec<u8> {
        let mut input = self.any_input().to_vec();
        for _ in 0..self.random.usize(1..=MAX_CHANGES) {
            self.change(&mut input);
            input.truncate(MAX_BYTES);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        match self.random.u8(0..64) {
            0..10 => self.replace_byte(input),
            10..18 => self.remove(input),
            18..26 => self.insert_part_of(input),
            26..40 => self.insert_word(input),
            40..50 => self.splice(input),
            50..56 => self.replace_number(input),
            56..60 => {
                let end = self.place(input);
                input.truncate(end);
            }
            60..63 => self.flip_bit(input),
            _ => self.repeat(input),
        }
    }

    fn replace_byte(&mut self, input: &mut [u8]) {
        let byte = if self.random.bool() { self.random.u8(b' '..=b'~') } else { self.random.u8(..) };
        if let Some(index) = self.index(input) {
            input[index] = byte;
        }
    }

    fn flip_bit(&mut self, input: &mut [u8]) {
        let bit = self.random.u32(0..8);
        if let Some(index) = self.index(input) {
            input[index] ^= 1 << bit;
        }
    }

    fn remove(&mut self, input: &mut Vec<u8>) {
        let part = self.part(input, 64);
        input.drain(part);
    }

    /// Puts a part of the input in another place of it.
    fn insert_part_of(&mut self, input: &mut Vec<u8>) {
        let part = input[self.part(input, 64)].to_vec();
        self.insert(input, &part);
    }

    fn insert_word(&mut self, input: &mut Vec<u8>) {
        let words = self.words;
        if let Some(word) = self.random.choice(words) {
            self.insert(input, word);
        }
    }

    /// Goes on as another input does from some place on.
    fn splice(&mut self, input: &mut Vec<u8>) {
        let other = self.any_input();
        let (end, start) = (self.place(input), self.place(other));
        input.truncate(end);
        input.extend_from_slice(&other[start..]);
    }

    /// Puts another number in the place of one.
    fn replace_number(&mut self, input: &mut Vec<u8>) {
        let from = self.place(input);
        let Some(start) = input[from..].iter().position(u8::is_ascii_digit).map(|start| from + start) else { return };
        let digits = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if let Some(number) = self.random.choice(NUMBERS) {
            input.splice(start..start + digits, number.bytes());
        }
    }

    /// Repeats a part many times: work that grows faster than the input shows here.
    fn repeat(&mut self, input: &mut Vec<u8>) {
        let part = input[self.part(input, 256)].to_vec();
        if !part.is_empty() {
            let times = self.random.usize(1..=MAX_BYTES / part.len());
            self.insert(input, &part.repeat(times));
        }
    }

    fn insert(&mut self, input: &mut Vec<u8>, bytes: &[u8]) {
        let place = self.place(input);
        input.splice(place..place, bytes.iter().copied());
    }

    fn any_input(&mut self) -> &'a [u8] {
        let inputs = self.inputs;
        self.random.choice(inputs).map_or(&[], Vec::as_slice)
    }

    fn index(&mut self, input: &[u8]) -> Option<usize> {
        (!input.is_empty()).then(|| self.random.usize(..input.len()))
    }

    /// Before a byte, or behind the last.
    fn place(&mut self, input: &[u8]) -> usize {
        self.random.usize(..=input.len())
    }

    fn part(&mut self, input: &[u8], longest: usize) -> std::ops::Range<usize> {
        let start = self.place(input);
        start..self.random.usize(start..=input.len().min(start + longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thousand(seed: u64) -> Vec<Vec<u8>> {
        let (inputs, words) = ([b"one 1".to_vec(), b"two 22".to_vec(), Vec::new()], [b"word".to_vec()]);
        let mut mutator = Mutator::new(&inputs, &words, seed);
        (0..1000).map(|_| mutator.mutate()).collect()
    }

    #[test]
    fn a_seed_makes_the_same_inputs_each_time() {
        assert_eq!(thousand(1), thousand(1));
        assert_ne!(thousand(1), thousand(2));
    }

    #[test]
    fn inputs_have_words_numbers_parts_of_others_and_repetitions() {
        let inputs = thousand(1);
        let some = |text: &str| inputs.iter().any(|input| String::from_utf8_lossy(input).contains(text));
        assert!(some("word") && some("65536") && some("onewo") && inputs.iter().any(|input| input.len() > 10_000));
        assert!(inputs.iter().all(|input| input.len() <= MAX_BYTES));
    }

    #[test]
    fn without_any_input_there_is_an_empty_one_to_begin_with() {
        assert!((0..100).all(|seed| Mutator::new(&[], &[], seed).mutate().len() <= MAX_BYTES));
    }
}
