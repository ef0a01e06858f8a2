//! The types in an object file, from what `readelf -wi` prints.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
struct Die {
    tag: String,
    name: String,
    ty: Option<u64>,
    size: Option<u64>,
    offset: usize,
    bits: bool,
    bound: Option<i64>,
    children: Vec<u64>,
}

/// A member of a structure or union.
pub struct Member {
    /// Empty for anonymous structures and unions.
    pub name: String,
    /// In bytes.
    pub offset: usize,
    /// A bit-field.
    pub bits: bool,
    /// A flexible or zero-length array.
    pub empty: bool,
}

/// All types of one compilation unit, by their offset in the debug information.
pub struct Dwarf {
    dies: BTreeMap<u64, Die>,
    tags: BTreeMap<String, u64>,
    typedefs: BTreeMap<String, u64>,
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap_or(0)
}

fn number(text: &str) -> Option<i64> {
    let text = text.split_whitespace().next()?;
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16)
            .ok()
            .map(|value| value as i64),
        None => text.parse().ok(),
    }
}

impl Dwarf {
    pub fn parse(text: &str) -> Self {
        let mut dies: BTreeMap<u64, Die> = BTreeMap::new();
        let mut parents: Vec<u64> = Vec::new();
        let mut current = 0;
        for line in text.lines() {
            if let Some((depth, rest)) = line
                .strip_prefix(" <")
                .and_then(|line| line.split_once("><"))
            {
                let Some((offset, rest)) = rest.split_once('>') else {
                    continue;
                };
                let Some((_, tag)) = rest.split_once("(DW_TAG_") else {
                    continue;
                };
                let (depth, offset) = (hex(depth) as usize, hex(offset));
                parents.truncate(depth);
                if let Some(parent) = parents.last().and_then(|parent| dies.get_mut(parent)) {
                    parent.children.push(offset);
                }
                parents.push(offset);
                let tag = tag.trim_end_matches(')').to_owned();
                dies.insert(
                    offset,
                    Die {
                        tag,
                        ..Die::default()
                    },
                );
                current = offset;
            } else if let Some((_, rest)) = line.split_once("DW_AT_") {
                let Some((attribute, value)) = rest.split_once(':') else {
                    continue;
                };
                let Some(die) = dies.get_mut(&current) else {
                    continue;
                };
                match attribute.trim() {
                    // "(indirect string, offset: 0x1f): name" or "name"
                    "name" => {
                        die.name = value
                            .rsplit(": ")
                            .next()
                            .unwrap_or_default()
                            .trim()
                            .to_owned()
                    }
                    // "<0x29>", in newer readelfs followed by ", name"
                    "type" => die.ty = value.split(['<', '>']).nth(1).map(hex),
                    "byte_size" => die.size = number(value).map(|size| size as u64),
                    "data_member_location" => die.offset = number(value).unwrap_or(0) as usize,
                    "bit_size" => die.bits = true,
                    "upper_bound" => die.bound = number(value).map(|bound| bound.wrapping_add(1)),
                    "count" => die.bound = number(value),
                    _ => {}
                }
            }
        }
        let mut tags = BTreeMap::new();
        let mut typedefs = BTreeMap::new();
        for (&offset, die) in &dies {
            match die.tag.as_str() {
                "structure_type" | "union_type" if die.size.is_some() && !die.name.is_empty() => {
                    tags.insert(die.name.clone(), offset);
                }
                "typedef" => {
                    typedefs.insert(die.name.clone(), offset);
                }
                _ => {}
            }
        }
        Self {
            dies,
            tags,
            typedefs,
        }
    }

    /// What a type is behind its typedefs and qualifiers; `arrays` looks through
    /// arrays too.
    fn strip(&self, mut offset: u64, arrays: bool) -> u64 {
        while let Some(die) = self.dies.get(&offset) {
            let through = match die.tag.as_str() {
                "typedef" | "const_type" | "volatile_type" => true,
                "array_type" => arrays,
                _ => false,
            };
            match die.ty {
                Some(ty) if through => offset = ty,
                _ => break,
            }
        }
        offset
    }

    /// The structure or union that a C type expression of the crate's tables
    /// names: `struct x`, `union x`, a typedef, or `__typeof__(((T*)0)->member)`.
    pub fn resolve(&self, c: &str) -> Option<u64> {
        if let Some(inner) = c
            .strip_prefix("__typeof__(((")
            .and_then(|c| c.strip_suffix(')'))
        {
            let (outer, member) = inner.rsplit_once("*)0)->")?;
            let member = member.trim_end_matches("[0]");
            let outer = self.resolve(outer)?;
            let child = self.dies[&outer]
                .children
                .iter()
                .find(|child| self.dies[child].name == member)?;
            return Some(self.strip(self.dies[child].ty?, true));
        }
        match c.strip_prefix("struct ").or(c.strip_prefix("union ")) {
            Some(tag) => self.tags.get(tag).copied(),
            None => self
                .typedefs
                .get(c)
                .map(|&offset| self.strip(offset, false)),
        }
    }

    /// The members of a structure or union.
    pub fn members(&self, offset: u64) -> Vec<Member> {
        let is_member = |die: &&Die| die.tag == "member";
        let children = self.dies[&offset]
            .children
            .iter()
            .map(|child| &self.dies[child])
            .filter(is_member);
        children
            .map(|die| Member {
                name: die.name.clone(),
                offset: die.offset,
                bits: die.bits,
                empty: die.ty.is_some_and(|ty| self.is_empty(ty)),
            })
            .collect()
    }

    fn is_empty(&self, ty: u64) -> bool {
        let die = &self.dies[&self.strip(ty, false)];
        let subranges = || die.children.iter().map(|child| &self.dies[child]);
        die.tag == "array_type"
            && subranges().any(|range| range.bound.is_none_or(|bound| bound <= 0))
    }

    /// Structures and unions that have a name, by tag or typedef.
    pub fn named(&self) -> Vec<(String, u64)> {
        let mut named: Vec<(String, u64)> = self
            .tags
            .iter()
            .map(|(name, &offset)| (name.clone(), offset))
            .collect();
        for (name, &offset) in &self.typedefs {
            let target = self.strip(offset, false);
            let Some(die) = self.dies.get(&target) else {
                continue;
            };
            let is_record = matches!(die.tag.as_str(), "structure_type" | "union_type");
            if is_record && die.name.is_empty() {
                named.push((name.clone(), target));
            }
        }
        named
    }

    /// The names of all enumerators.
    pub fn enumerators(&self) -> BTreeSet<String> {
        let is_enumerator = |die: &&Die| die.tag == "enumerator";
        self.dies
            .values()
            .filter(is_enumerator)
            .map(|die| die.name.clone())
            .collect()
    }
}
