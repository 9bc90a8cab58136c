//! Landlock: no file-system access, no TCP, no signals or abstract sockets to the outside.

use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset,
    RulesetAttr, RulesetStatus, Scope,
};

use super::Landlock;

/// The newest interface this program knows; older kernels give what they have.
const NEWEST: ABI = ABI::V6;

/// Denies everything by handling every right and granting none.
pub(super) fn restrict() -> io::Result<Landlock> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| io::Error::other(format!("landlock: {error}")))?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Landlock::Full,
        (RulesetStatus::PartiallyEnforced, _) => Landlock::Partial,
        (RulesetStatus::NotEnforced, LandlockStatus::NotImplemented) => Landlock::NotImplemented,
        (RulesetStatus::NotEnforced, _) => Landlock::NotEnabled,
    })
}
