//! Passing over a value without a call for each of its parts.

use super::{EOF_LIST, EOF_OBJECT, EOF_VALUE, Error, Kind, Reader};

/// Levels that a word holds.
const LEVELS: u16 = 128;

impl Reader<'_> {
    /// Passes a value.
    pub fn skip(&mut self) -> Result<(), Error> {
        let around = self.depth;
        // Which of the objects and lists that are open within the value are objects, innermost first; those of outer
        // levels lie in `outer`, 128 each.
        let mut objects: u128 = 0;
        let mut outer: Vec<u128> = Vec::new();
        loop {
            match self.peek(EOF_VALUE)? {
                b'"' => drop(self.pass_text(&mut ())?),
                b'{' => {
                    self.open()?;
                    if self.peek(EOF_OBJECT)? == b'}' {
                        self.close();
                    } else {
                        self.spill(around, &mut objects, &mut outer);
                        objects = objects << 1 | 1;
                        self.keys.enter();
                        self.key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.open()?;
                    if self.peek(EOF_LIST)? == b']' {
                        self.close();
                    } else {
                        self.spill(around, &mut objects, &mut outer);
                        objects <<= 1;
                        continue;
                    }
                }
                _ => self.pass_word_or_number()?,
            }
            // A value has ended, and with it what it was the last of.
            loop {
                if self.depth == around {
                    return Ok(());
                }
                if objects & 1 == 1 {
                    if self.next_member()? {
                        self.key()?;
                        break;
                    }
                    self.keys.leave();
                } else if self.next_element()? {
                    break;
                }
                objects >>= 1;
                self.close();
                if (self.depth - around).is_multiple_of(LEVELS)
                    && let Some(level) = outer.pop()
                {
                    objects = level;
                }
            }
        }
    }

    /// Makes room for the level that was just opened.
    #[inline]
    fn spill(&self, around: u16, objects: &mut u128, outer: &mut Vec<u128>) {
        let open = self.depth - around - 1;
        if open > 0 && open.is_multiple_of(LEVELS) {
            outer.push(std::mem::take(objects));
        }
    }

    fn pass_word_or_number(&mut self) -> Result<(), Error> {
        match self.kind()? {
            Kind::Bool => self.boolean().map(drop),
            Kind::Null => self.null(),
            _ => self.pass_number(),
        }
    }
}
