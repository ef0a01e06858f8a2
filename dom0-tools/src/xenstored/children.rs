//! The children of a node: in the order of their names, shared between versions of the tree.
//!
//! A directory is one allocation with a run of nodes in it; a large one has many runs of at most
//! [`RUN`], each shared on its own, so that changing one child of thousands copies one run and the list of
//! runs, not the whole directory.

use std::cell::OnceCell;
use std::rc::Rc;

use super::node::Node;

/// The longest run before it is split.
const RUN: usize = 32;

/// All children of a node; nothing as long as there never was one. A copy shares them until one of both is changed.
#[derive(Clone, Debug, Default)]
pub struct Children(Option<Rc<Directory>>);

#[derive(Clone, Debug)]
struct Directory {
    runs: Runs,
    /// Bytes of all names, each with a zero byte: as the protocol lists them.
    names: usize,
    /// The change in which a child came or went last.
    changed: u64,
}

#[derive(Clone, Debug)]
enum Runs {
    One(Vec<Node>),
    Many(Box<Many>),
}

#[derive(Clone, Debug)]
struct Many {
    /// Sorted, none empty.
    runs: Vec<Rc<Vec<Node>>>,
    /// The list of names, once somebody has asked for it, until a child changes.
    listed: OnceCell<Rc<[u8]>>,
}

fn place(run: &[Node], name: &str) -> Result<usize, usize> {
    run.binary_search_by(|child| child.name_bytes().cmp(name.as_bytes()))
}

/// The run where `name` is, or would be.
fn run_of(runs: &[Rc<Vec<Node>>], name: &str) -> usize {
    runs.partition_point(|run| {
        run.first()
            .is_some_and(|first| first.name_bytes() <= name.as_bytes())
    })
    .saturating_sub(1)
}

/// Directories are many and most are small: they grow by a quarter, not by double.
fn put(run: &mut Vec<Node>, index: usize, child: Node) {
    if run.len() == run.capacity() {
        run.reserve_exact(1 + run.len() / 4);
    }
    run.insert(index, child);
}

/// The upper half of a run that has become too long.
fn split(run: &mut Vec<Node>) -> Option<Vec<Node>> {
    (run.len() > RUN).then(|| run.split_off(run.len() / 2))
}

impl Children {
    /// The bytes that a list of the names takes in a message.
    pub fn names_len(&self) -> usize {
        self.0.as_ref().map_or(0, |directory| directory.names)
    }

    /// The change in which a child came or went last; 0 if none ever did.
    pub fn changed(&self) -> u64 {
        self.0.as_ref().map_or(0, |directory| directory.changed)
    }

    /// Whether both are one version, with all that is below.
    pub fn same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Rc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// In the order of names.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        let (one, many): (&[Node], &[Rc<Vec<Node>>]) = match self.0.as_ref().map(|d| &d.runs) {
            None => (&[], &[]),
            Some(Runs::One(run)) => (run, &[]),
            Some(Runs::Many(many)) => (&[], &many.runs),
        };
        one.iter().chain(many.iter().flat_map(|run| run.iter()))
    }

    /// In the order of creation.
    pub fn by_age(&self) -> Vec<&Node> {
        let mut children: Vec<_> = self.iter().collect();
        children.sort_unstable_by_key(|child| child.born);
        children
    }

    /// The names as the protocol lists them: in the order of creation, each with a zero byte.
    pub fn list(&self) -> Vec<u8> {
        match self.0.as_ref().map(|directory| &directory.runs) {
            None => Vec::new(),
            Some(Runs::One(_)) => self.listed(),
            Some(Runs::Many(many)) => many.listed.get_or_init(|| self.listed().into()).to_vec(),
        }
    }

    fn listed(&self) -> Vec<u8> {
        let mut list = Vec::with_capacity(self.names_len());
        for child in self.by_age() {
            list.extend_from_slice(child.name_bytes());
            list.push(0);
        }
        list
    }

    /// The child of that name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        let run = match &self.0.as_ref()?.runs {
            Runs::One(run) => run,
            Runs::Many(many) => many.runs.get(run_of(&many.runs, name))?,
        };
        run.get(place(run, name).ok()?)
    }

    /// The child of that name, to change; its run is copied first if another tree shares it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        let run = match &mut Rc::make_mut(self.0.as_mut()?).runs {
            Runs::One(run) => run,
            Runs::Many(many) => {
                many.listed.take();
                let index = run_of(&many.runs, name);
                Rc::make_mut(many.runs.get_mut(index)?)
            }
        };
        let index = place(run, name).ok()?;
        run.get_mut(index)
    }

    /// Adds a child, in the change of that number, or replaces the one of its name.
    pub fn insert(&mut self, node: Node, generation: u64) {
        if let Some(old) = self.get_mut(node.name()) {
            *old = node;
            return;
        }
        let directory = Rc::make_mut(self.0.get_or_insert_with(|| {
            Rc::new(Directory {
                runs: Runs::One(Vec::new()),
                names: 0,
                changed: 0,
            })
        }));
        directory.names += node.name().len() + 1;
        directory.changed = generation;
        match &mut directory.runs {
            Runs::One(run) => {
                let index = place(run, node.name()).unwrap_or_else(|index| index);
                put(run, index, node);
                if let Some(upper) = split(run) {
                    let lower = std::mem::take(run);
                    directory.runs = Runs::Many(Box::new(Many {
                        runs: vec![Rc::new(lower), Rc::new(upper)],
                        listed: OnceCell::new(),
                    }));
                }
            }
            Runs::Many(many) => {
                many.listed.take();
                let runs = &mut many.runs;
                let at = run_of(runs, node.name());
                let Some(shared) = runs.get_mut(at) else {
                    runs.push(Rc::new(vec![node]));
                    return;
                };
                let run = Rc::make_mut(shared);
                let index = place(run, node.name()).unwrap_or_else(|index| index);
                put(run, index, node);
                if let Some(upper) = split(run) {
                    runs.insert(at + 1, Rc::new(upper));
                }
            }
        }
    }

    /// Takes a child out, in the change of that number.
    pub fn remove(&mut self, name: &str, generation: u64) -> Option<Node> {
        self.get(name)?;
        let directory = Rc::make_mut(self.0.as_mut()?);
        let removed = match &mut directory.runs {
            Runs::One(run) => {
                let index = place(run, name).ok()?;
                run.remove(index)
            }
            Runs::Many(many) => {
                many.listed.take();
                let runs = &mut many.runs;
                let at = run_of(runs, name);
                let index = place(runs.get(at)?, name).ok()?;
                let run = Rc::make_mut(runs.get_mut(at)?);
                let removed = run.remove(index);
                let left = run.len();
                let next = runs.get(at + 1).map_or(RUN, |run| run.len());
                if left == 0 {
                    runs.remove(at);
                } else if left + next <= RUN / 2 {
                    let next = runs.remove(at + 1);
                    if let Some(run) = runs.get_mut(at) {
                        Rc::make_mut(run).extend(next.iter().cloned());
                    }
                }
                removed
            }
        };
        directory.names = directory.names.saturating_sub(name.len() + 1);
        directory.changed = generation;
        if directory.names == 0 {
            // When the last one went is kept: who lists a directory in parts has to notice that.
            directory.runs = Runs::One(Vec::new());
        }
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn node(name: &str, mark: u64) -> Node {
        Node::test(name, mark)
    }

    #[test]
    fn behaves_as_a_map_at_every_size() {
        let mut children = Children::default();
        let mut model = BTreeMap::new();
        let mut state = 12345u64;
        for step in 0..20_000u64 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            let name = format!("{}", (state >> 33) % 700);
            // Grows for a while, then shrinks.
            if (state >> 20) % 100 < if step < 8000 { 70 } else { 30 } {
                children.insert(node(&name, step), step);
                model.insert(name, step);
            } else {
                let removed = children.remove(&name, step).map(|node| node.born);
                assert_eq!(removed, model.remove(&name));
            }
            if step % 97 == 0 {
                let all: Vec<_> = children
                    .iter()
                    .map(|child| (child.name().to_owned(), child.born))
                    .collect();
                assert!(all.iter().map(|(a, b)| (a, b)).eq(model.iter()));
                let names: usize = model.keys().map(|name| name.len() + 1).sum();
                assert_eq!(children.names_len(), names);
            }
        }
        for (name, mark) in &model {
            assert_eq!(children.get(name).map(|node| node.born), Some(*mark));
        }
        assert!(children.get("absent").is_none());
    }

    /// However often somebody has asked for it before.
    #[test]
    fn the_list_is_in_the_order_of_creation() {
        let mut children = Children::default();
        let mut names: Vec<String> = Vec::new();
        let all = |names: &[String]| -> Vec<u8> {
            let list = names.iter().map(|name| format!("{name}\0"));
            list.collect::<String>().into_bytes()
        };
        for n in 0..200u64 {
            let name = (n * 7 % 200).to_string();
            children.insert(node(&name, n), n);
            names.push(name);
            assert_eq!(children.list(), all(&names));
        }
        children.remove("21", 201);
        names.retain(|name| name != "21");
        assert_eq!(children.list(), all(&names));
        // Created anew in place of the old one.
        if let Some(node) = children.get_mut("7") {
            node.born = 1000;
        }
        names.retain(|name| name != "7");
        names.push("7".into());
        assert_eq!(children.list(), all(&names));
        let copy = children.clone();
        children.insert(node("new", 1001), 1001);
        assert_eq!(copy.list(), all(&names));
    }

    #[test]
    fn a_copy_does_not_see_changes() {
        let mut children = Children::default();
        for n in 0..1000 {
            children.insert(node(&n.to_string(), n), n);
        }
        let before = children.clone();
        children.remove("500", 1000);
        children.insert(node("7", 99), 99);
        if let Some(node) = children.get_mut("8") {
            node.born = 77;
        }
        assert_eq!(before.get("500").map(|node| node.born), Some(500));
        assert_eq!(before.get("7").map(|node| node.born), Some(7));
        assert_eq!(before.get("8").map(|node| node.born), Some(8));
        assert_eq!(children.get("8").map(|node| node.born), Some(77));
    }
}
