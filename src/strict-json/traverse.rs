//! Reads objects and lists member by member, and skips values without a call for each part.

use super::{DEPTH_MAX, EOF_LIST, EOF_OBJECT, EOF_VALUE, Error, Kind, Reader, SHALLOW, Text};

/// The levels that the bits of a `u128` describe.
const LEVELS: u16 = 128;

impl<'a> Reader<'a> {
    /// Reads an object, which must come next. `member` is called with each key, at its value.
    #[inline]
    pub fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.open()?;
        if self.peek(EOF_OBJECT)? != b'}' {
            self.keys.open_object();
            loop {
                let key = self.key()?;
                member(self, key)?;
                if !self.next_member()? {
                    break;
                }
            }
            self.keys.close_object();
        }
        self.close();
        Ok(())
    }

    /// Reads a list, which must come next. `element` is called at each element.
    #[inline]
    pub fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.open()?;
        if self.peek(EOF_LIST)? != b']' {
            loop {
                element(self)?;
                if !self.next_element()? {
                    break;
                }
            }
        }
        self.close();
        Ok(())
    }

    /// Reads a key and its colon.
    #[inline(always)]
    fn key(&mut self) -> Result<Text<'a>, Error> {
        if self.byte() != Some(b'"') {
            return Err(self.fault("key must be a string"));
        }
        let (key, hash) = self.hashed_text()?;
        if !self.keys.insert(hash) {
            return Err(self.duplicate_key(key));
        }
        if self.peek(EOF_OBJECT)? != b':' {
            return Err(self.fault("expected `:`"));
        }
        self.at += 1;
        Ok(key)
    }

    /// Moves to the next member's key and returns true, or to the end of the object and returns false.
    #[inline(always)]
    fn next_member(&mut self) -> Result<bool, Error> {
        match self.peek(EOF_OBJECT)? {
            b',' => self.at += 1,
            b'}' => return Ok(false),
            _ => return Err(self.fault("expected `,` or `}`")),
        }
        match self.peek(EOF_VALUE)? {
            b'}' => Err(self.fault("trailing comma")),
            _ => Ok(true),
        }
    }

    /// Moves to the next element and returns true, or to the end of the list and returns false.
    #[inline(always)]
    fn next_element(&mut self) -> Result<bool, Error> {
        match self.peek(EOF_LIST)? {
            b',' => self.at += 1,
            b']' => return Ok(false),
            _ => return Err(self.fault("expected `,` or `]`")),
        }
        match self.peek(EOF_VALUE)? {
            b']' => Err(self.fault("trailing comma")),
            _ => Ok(true),
        }
    }

    #[inline(always)]
    fn open(&mut self) -> Result<(), Error> {
        if self.depth >= SHALLOW {
            self.deeper()?;
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    #[cold]
    fn deeper(&mut self) -> Result<(), Error> {
        if self.depth == DEPTH_MAX {
            return Err(self.fault("recursion limit exceeded"));
        }
        self.deepest = self.deepest.max(self.depth + 1);
        Ok(())
    }

    #[inline(always)]
    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// Skips a value, and checks it as if it were read.
    pub fn skip(&mut self) -> Result<(), Error> {
        let base = self.depth;
        // One bit for each open object (1) or list (0) within the value, the innermost lowest. `outer` has the bits of
        // further levels, 128 in each element.
        let mut objects: u128 = 0;
        let mut outer: Vec<u128> = Vec::new();
        loop {
            match self.peek(EOF_VALUE)? {
                b'"' => drop(self.scan_text(&mut ())?),
                b'{' => {
                    self.open()?;
                    if self.peek(EOF_OBJECT)? == b'}' {
                        self.close();
                    } else {
                        self.spill(base, &mut objects, &mut outer);
                        objects = objects << 1 | 1;
                        self.keys.open_object();
                        self.key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.open()?;
                    if self.peek(EOF_LIST)? == b']' {
                        self.close();
                    } else {
                        self.spill(base, &mut objects, &mut outer);
                        objects <<= 1;
                        continue;
                    }
                }
                _ => self.skip_literal_or_number()?,
            }
            // The value has ended; close the objects and lists that end with it.
            loop {
                if self.depth == base {
                    return Ok(());
                }
                if objects & 1 == 1 {
                    if self.next_member()? {
                        self.key()?;
                        break;
                    }
                    self.keys.close_object();
                } else if self.next_element()? {
                    break;
                }
                objects >>= 1;
                self.close();
                if (self.depth - base).is_multiple_of(LEVELS)
                    && let Some(level) = outer.pop()
                {
                    objects = level;
                }
            }
        }
    }

    /// Saves the bits of 128 levels before a further level is described.
    #[inline]
    fn spill(&self, base: u16, objects: &mut u128, outer: &mut Vec<u128>) {
        let open = self.depth - base - 1;
        if open > 0 && open.is_multiple_of(LEVELS) {
            outer.push(std::mem::take(objects));
        }
    }

    fn skip_literal_or_number(&mut self) -> Result<(), Error> {
        match self.kind()? {
            Kind::Bool => self.boolean().map(drop),
            Kind::Null => self.null(),
            _ => self.skip_number(),
        }
    }
}
