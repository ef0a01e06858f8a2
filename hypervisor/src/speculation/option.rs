//! `spec-ctrl=` (Xen docs/misc/xen-command-line, "spec-ctrl (x86)").

/// What the command line lets be done. All of it, unless something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// IBRS, in the forms that are set once (`ibrs=`).
    pub ibrs: bool,
    /// Prediction barriers between domains (`ibpb=`).
    pub barrier: bool,
    /// Overwriting of return predictions (`rsb=`).
    pub return_stack: bool,
    /// Clearing of buffers (`md-clear=`): where it helps, unless something was said.
    pub clear_buffers: Option<bool>,
}

impl Default for Wishes {
    fn default() -> Self {
        Self::all(true)
    }
}

/// What an item of the list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// Obeyed.
    Done,
    /// Xen has it, and there is nothing for it to act on here.
    WithoutEffect,
    /// Nothing that Xen has.
    Malformed,
}

impl Wishes {
    const fn all(on: bool) -> Self {
        Self {
            ibrs: on,
            barrier: on,
            return_stack: on,
            clear_buffers: if on { None } else { Some(false) },
        }
    }

    /// Takes one item of the list: `no`, `name`, `no-name`, `name=BOOL`, and for what Xen does per kind of guest
    /// `name=pv`, `no-name=pv`, `name=no-pv`. `boolean` reads a BOOL.
    pub fn set(&mut self, item: &str, boolean: fn(&str) -> Option<bool>) -> Item {
        if let Some(on) = boolean(item) {
            *self = Self::all(on);
            return Item::Done;
        }
        let (name, value) = item.split_once('=').unwrap_or((item, "yes"));
        let (name, negated) = match name.strip_prefix("no-") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let per_guest = matches!(name, "msr-sc" | "rsb" | "md-clear" | "ibpb-entry");
        let on = match (value, boolean(value)) {
            (_, Some(on)) => on,
            ("pv" | "no-pv" | "hvm" | "no-hvm", None) if per_guest => {
                if value.ends_with("hvm") {
                    return Item::WithoutEffect;
                }
                !value.starts_with("no-")
            }
            ("retpoline" | "lfence" | "jmp", None) if name == "bti-thunk" => {
                return Item::WithoutEffect;
            }
            _ => return Item::Malformed,
        } != negated;
        match name {
            // All that is for PV guests: what the hypervisor does for itself stays.
            "pv" => {
                self.return_stack = on;
                self.clear_buffers = Self::all(on).clear_buffers;
            }
            "xen" => *self = Self::all(on),
            "rsb" => self.return_stack = on,
            "md-clear" => self.clear_buffers = Some(on),
            "ibrs" => self.ibrs = on,
            "ibpb" => self.barrier = on,
            "hvm" | "msr-sc" | "ibpb-entry" | "ssbd" | "psfd" | "eager-fpu" | "l1d-flush"
            | "branch-harden" | "srb-lock" | "unpriv-mmio" | "gds-mit" | "div-scrub" => {
                return Item::WithoutEffect;
            }
            _ => return Item::Malformed,
        }
        Item::Done
    }
}
