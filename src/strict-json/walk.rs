//! Objects and lists: member by member, element by element.

use super::{DEPTH_MAX, EOF_LIST, EOF_OBJECT, EOF_VALUE, Error, Reader, SHALLOW, Text};

impl<'a> Reader<'a> {
    /// Reads an object, which must come next: `member` is called for each, at its value, with its key.
    #[inline]
    pub fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.open()?;
        if self.peek(EOF_OBJECT)? != b'}' {
            self.keys.enter();
            loop {
                let key = self.key()?;
                member(self, key)?;
                if !self.next_member()? {
                    break;
                }
            }
            self.keys.leave();
        }
        self.close();
        Ok(())
    }

    /// Reads a list, which must come next: `element` is called at each.
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
    pub(super) fn key(&mut self) -> Result<Text<'a>, Error> {
        if self.byte() != Some(b'"') {
            return Err(self.fault("key must be a string"));
        }
        let (key, hash) = self.hashed_text()?;
        if !self.keys.first(hash) {
            return Err(self.twice(key));
        }
        if self.peek(EOF_OBJECT)? != b':' {
            return Err(self.fault("expected `:`"));
        }
        self.at += 1;
        Ok(key)
    }

    /// Whether another member follows, and goes to its key; else to the end of the object.
    #[inline(always)]
    pub(super) fn next_member(&mut self) -> Result<bool, Error> {
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

    /// Whether another element follows, and goes to it; else to the end of the list.
    #[inline(always)]
    pub(super) fn next_element(&mut self) -> Result<bool, Error> {
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
    pub(super) fn open(&mut self) -> Result<(), Error> {
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
    pub(super) fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }
}
