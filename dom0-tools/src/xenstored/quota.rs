//! Limits on what one domain may take, and their names.

/// Limits; of a domain unless said otherwise. Privileged domains have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Nodes it owns.
    pub nodes: u32,
    /// Watches.
    pub watches: u32,
    /// Transactions open at a time.
    pub transactions: u32,
    /// Requests whose reply, or whose events for others, are not yet delivered.
    pub outstanding: u32,
    /// Nodes that one transaction touches.
    pub transaction_nodes: u32,
    /// Bytes for nodes, transactions, watches and queued messages: above, nothing more is
    /// accepted.
    pub memory: u32,
    /// Bytes above which a warning is logged.
    pub memory_soft: u32,
    /// Bytes of one node's record.
    pub node_size: u32,
    /// Bytes of a path after the domain's own prefix.
    pub path_max: u32,
    /// Permissions of one node.
    pub permissions: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            nodes: 1000,
            watches: 128,
            transactions: 10,
            outstanding: 20,
            transaction_nodes: 1024,
            memory: 2560 * 1024,
            memory_soft: 2048 * 1024,
            node_size: 2048,
            path_max: 2048,
            permissions: 5,
        }
    }
}

/// A limit that can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quota {
    /// See [`Quotas::nodes`]; and so on.
    Nodes,
    /// Watches.
    Watches,
    /// Transactions.
    Transactions,
    /// Outstanding requests.
    Outstanding,
    /// Nodes per transaction.
    TransactionNodes,
    /// Memory.
    Memory,
    /// Size of a node.
    NodeSize,
    /// Length of a path.
    PathMax,
    /// Permissions of a node.
    Permissions,
}

impl Quota {
    /// In the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::Nodes,
        Self::Watches,
        Self::Transactions,
        Self::Outstanding,
        Self::TransactionNodes,
        Self::Memory,
        Self::NodeSize,
        Self::PathMax,
        Self::Permissions,
    ];

    /// As the `quota` control command and the logs name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Watches => "watches",
            Self::Transactions => "transactions",
            Self::Outstanding => "outstanding",
            Self::TransactionNodes => "transaction-nodes",
            Self::Memory => "memory",
            Self::NodeSize => "node-size",
            Self::PathMax => "path-max",
            Self::Permissions => "permissions",
        }
    }

    /// What it limits.
    pub fn description(self) -> &'static str {
        match self {
            Self::Nodes => "Nodes per domain",
            Self::Watches => "Watches per domain",
            Self::Transactions => "Transactions per domain",
            Self::Outstanding => "Outstanding requests per domain",
            Self::TransactionNodes => "Max. number of accessed nodes per transaction",
            Self::Memory => "Total Xenstore memory per domain (error level)",
            Self::NodeSize => "Max. size of a node",
            Self::PathMax => "Max. length of a node path",
            Self::Permissions => "Max. number of permissions per node",
        }
    }

    /// The limit of that name.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|quota| quota.name().as_bytes() == name)
    }
}

impl Quotas {
    /// The value of one.
    pub fn get(&self, quota: Quota) -> u32 {
        match quota {
            Quota::Nodes => self.nodes,
            Quota::Watches => self.watches,
            Quota::Transactions => self.transactions,
            Quota::Outstanding => self.outstanding,
            Quota::TransactionNodes => self.transaction_nodes,
            Quota::Memory => self.memory,
            Quota::NodeSize => self.node_size,
            Quota::PathMax => self.path_max,
            Quota::Permissions => self.permissions,
        }
    }

    /// Sets one. Paths stay within what the protocol allows.
    pub fn set(&mut self, quota: Quota, value: u32) {
        let field = match quota {
            Quota::Nodes => &mut self.nodes,
            Quota::Watches => &mut self.watches,
            Quota::Transactions => &mut self.transactions,
            Quota::Outstanding => &mut self.outstanding,
            Quota::TransactionNodes => &mut self.transaction_nodes,
            Quota::Memory => &mut self.memory,
            Quota::NodeSize => &mut self.node_size,
            Quota::PathMax => &mut self.path_max,
            Quota::Permissions => &mut self.permissions,
        };
        *field = if quota == Quota::PathMax {
            value.min(super::path::REL_PATH_MAX as u32)
        } else {
            value
        };
    }
}
