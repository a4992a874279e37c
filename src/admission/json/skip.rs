//! Passing over a value without a call for each of its parts.

use super::{EOF_LIST, EOF_OBJECT, EOF_VALUE, Error, Kind, Reader};

impl Reader<'_> {
    /// Passes a value.
    pub fn skip(&mut self) -> Result<(), Error> {
        let around = self.depth;
        // Which of the objects and lists that are open within the value are objects, innermost first.
        let mut objects: u128 = 0;
        loop {
            match self.peek(EOF_VALUE)? {
                b'"' => drop(self.pass_text(&mut ())?),
                b'{' => {
                    self.open()?;
                    if self.peek(EOF_OBJECT)? == b'}' {
                        self.close();
                    } else {
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
            }
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
