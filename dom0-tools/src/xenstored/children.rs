//! The children of a node: by name, shared between versions of the tree.
//!
//! Few children are one sorted run in the node itself. Many are runs of at most [`RUN`], each
//! shared on its own, so that changing one child of thousands copies one run and the list of
//! runs, not the whole directory.

use std::cell::OnceCell;
use std::rc::Rc;

use super::tree::Node;

/// The longest run before it is split.
const RUN: usize = 64;

/// A child and its name.
#[derive(Clone, Debug)]
pub struct Child {
    /// The last part of its path.
    pub name: Rc<str>,
    /// The node.
    pub node: Rc<Node>,
}

/// All children of a node.
#[derive(Clone, Debug)]
pub struct Children {
    runs: Runs,
    /// Bytes of all names, each with a zero byte: as the protocol lists them.
    names: usize,
}

#[derive(Clone, Debug)]
enum Runs {
    One(Vec<Child>),
    Many(Box<Many>),
}

#[derive(Clone, Debug)]
struct Many {
    /// Sorted, none empty.
    runs: Vec<Rc<Vec<Child>>>,
    /// The list of names, once somebody has asked for it, until a child changes.
    listed: OnceCell<Vec<u8>>,
}

impl Default for Children {
    fn default() -> Self {
        Self {
            runs: Runs::One(Vec::new()),
            names: 0,
        }
    }
}

fn place(run: &[Child], name: &str) -> Result<usize, usize> {
    run.binary_search_by(|child| (*child.name).cmp(name))
}

/// The run where `name` is, or would be.
fn run_of(runs: &[Rc<Vec<Child>>], name: &str) -> usize {
    runs.partition_point(|run| run.first().is_some_and(|first| *first.name <= *name))
        .saturating_sub(1)
}

impl Children {
    /// The bytes that a list of the names takes in a message.
    pub fn names_len(&self) -> usize {
        self.names
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names == 0
    }

    /// In the order of names.
    pub fn iter(&self) -> impl Iterator<Item = &Child> {
        let (one, many): (&[Child], &[Rc<Vec<Child>>]) = match &self.runs {
            Runs::One(run) => (run, &[]),
            Runs::Many(many) => (&[], &many.runs),
        };
        one.iter().chain(many.iter().flat_map(|run| run.iter()))
    }

    /// The names as the protocol lists them: in the order of creation, each with a zero byte.
    pub fn list(&self) -> Vec<u8> {
        match &self.runs {
            Runs::One(_) => self.sorted(),
            Runs::Many(many) => many.listed.get_or_init(|| self.sorted()).clone(),
        }
    }

    fn sorted(&self) -> Vec<u8> {
        let mut children: Vec<_> = self
            .iter()
            .map(|child| (child.node.born, &child.name))
            .collect();
        children.sort_unstable_by_key(|(born, _)| *born);
        let mut list = Vec::with_capacity(self.names);
        for (_, name) in children {
            list.extend_from_slice(name.as_bytes());
            list.push(0);
        }
        list
    }

    /// The child of that name.
    pub fn get(&self, name: &str) -> Option<&Rc<Node>> {
        let run = match &self.runs {
            Runs::One(run) => run,
            Runs::Many(many) => many.runs.get(run_of(&many.runs, name))?,
        };
        let index = place(run, name).ok()?;
        run.get(index).map(|child| &child.node)
    }

    /// The child of that name, to change; its run is copied first if another tree shares it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Rc<Node>> {
        let run = match &mut self.runs {
            Runs::One(run) => run,
            Runs::Many(many) => {
                many.listed.take();
                let index = run_of(&many.runs, name);
                Rc::make_mut(many.runs.get_mut(index)?)
            }
        };
        let index = place(run, name).ok()?;
        run.get_mut(index).map(|child| &mut child.node)
    }

    /// Adds a child, replacing one of that name.
    pub fn insert(&mut self, name: &str, node: Rc<Node>) {
        if let Some(old) = self.get_mut(name) {
            *old = node;
            return;
        }
        self.names += name.len() + 1;
        let child = Child {
            name: name.into(),
            node,
        };
        match &mut self.runs {
            Runs::One(run) => {
                let index = place(run, name).unwrap_or_else(|index| index);
                if run.len() == run.capacity() {
                    // Directories are many and small: grow by half, not by double.
                    run.reserve_exact(1 + run.len() / 2);
                }
                run.insert(index, child);
                if run.len() > RUN {
                    let upper = run.split_off(run.len() / 2);
                    let lower = std::mem::take(run);
                    self.runs = Runs::Many(Box::new(Many {
                        runs: vec![Rc::new(lower), Rc::new(upper)],
                        listed: OnceCell::new(),
                    }));
                }
            }
            Runs::Many(many) => {
                many.listed.take();
                let runs = &mut many.runs;
                let at = run_of(runs, name);
                let Some(shared) = runs.get_mut(at) else {
                    runs.push(Rc::new(vec![child]));
                    return;
                };
                let run = Rc::make_mut(shared);
                let index = place(run, name).unwrap_or_else(|index| index);
                run.insert(index, child);
                if run.len() > RUN {
                    let upper = run.split_off(run.len() / 2);
                    runs.insert(at + 1, Rc::new(upper));
                }
            }
        }
    }

    /// Takes a child out.
    pub fn remove(&mut self, name: &str) -> Option<Rc<Node>> {
        let removed = match &mut self.runs {
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
        self.names = self.names.saturating_sub(name.len() + 1);
        Some(removed.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn node(mark: u64) -> Rc<Node> {
        Rc::new(Node::test(mark))
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
                children.insert(&name, node(step));
                model.insert(name, step);
            } else {
                let removed = children.remove(&name).map(|node| node.generation);
                assert_eq!(removed, model.remove(&name));
            }
            if step % 97 == 0 {
                let all: Vec<_> = children
                    .iter()
                    .map(|child| (child.name.to_string(), child.node.generation))
                    .collect();
                assert!(all.iter().map(|(a, b)| (a, b)).eq(model.iter()));
                let names: usize = model.keys().map(|name| name.len() + 1).sum();
                assert_eq!(children.names_len(), names);
            }
        }
        for (name, mark) in &model {
            assert_eq!(children.get(name).map(|node| node.generation), Some(*mark));
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
            children.insert(&name, node(n));
            names.push(name);
            assert_eq!(children.list(), all(&names));
        }
        children.remove("21");
        names.retain(|name| name != "21");
        assert_eq!(children.list(), all(&names));
        // Created anew in place of the old one.
        if let Some(node) = children.get_mut("7") {
            Rc::make_mut(node).born = 1000;
        }
        names.retain(|name| name != "7");
        names.push("7".into());
        assert_eq!(children.list(), all(&names));
        let copy = children.clone();
        children.insert("new", node(1001));
        assert_eq!(copy.list(), all(&names));
    }

    #[test]
    fn a_copy_does_not_see_changes() {
        let mut children = Children::default();
        for n in 0..1000 {
            children.insert(&n.to_string(), node(n));
        }
        let before = children.clone();
        children.remove("500");
        children.insert("7", node(99));
        if let Some(node) = children.get_mut("8") {
            Rc::make_mut(node).generation = 77;
        }
        assert_eq!(before.get("500").map(|node| node.generation), Some(500));
        assert_eq!(before.get("7").map(|node| node.generation), Some(7));
        assert_eq!(before.get("8").map(|node| node.generation), Some(8));
        assert_eq!(children.get("8").map(|node| node.generation), Some(77));
    }
}
