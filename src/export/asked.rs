//! Questions about texts that are asked again and again.

use super::stacks::Texts;

/// Answers to a question about texts, each asked once.
pub(super) struct Asked {
    question: fn(&str) -> bool,
    answers: Vec<Option<bool>>,
}

impl Asked {
    pub(super) fn new(question: fn(&str) -> bool) -> Asked {
        Asked { question, answers: Vec::new() }
    }

    pub(super) fn of(&mut self, texts: &Texts, number: u32) -> bool {
        self.answers.resize(texts.all().len(), None);
        let text = &texts.all()[number as usize];
        *self.answers[number as usize].get_or_insert_with(|| (self.question)(text))
    }
}
