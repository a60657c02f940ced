//! Which canonical code each of Trestle's codes has.

use tonic::Code as Status;
use trestle_model::Code;

/// Returns the canonical gRPC code of a refusal with `code`.
///
/// By meaning: `INVALID_ARGUMENT` could never be valid, `FAILED_PRECONDITION` not as things are now, `ABORTED` lost a
/// race, `UNAVAILABLE` may be tried again.
pub const fn canonical(code: Code) -> Status {
    match code {
        Code::FieldMissing
        | Code::EnumUnknown
        | Code::NameInvalid
        | Code::Duplicate
        | Code::FieldConflict
        | Code::RemoveWithAttributes
        | Code::TimeoutOutOfRange
        | Code::CodeUnknown
        | Code::FieldMaskInvalid
        | Code::Immutable
        | Code::PageInvalid
        | Code::FilterInvalid
        | Code::TooLong
        | Code::MacInvalid
        | Code::BridgelessWithoutSouthbound
        | Code::BridgeAttributeOnBridgeless
        | Code::GuestPortsUnmanaged
        | Code::BadAddress
        | Code::GatewayWithoutAddress
        | Code::GatewayNotOnLink
        | Code::RouteInvalid
        | Code::NameserversOffDefaultRoute
        | Code::QosInvalid
        | Code::QosWithoutSouthbound
        | Code::VlanOutOfRange
        | Code::VlanWithoutSouthbound
        | Code::BridgeNameInvalid
        | Code::MtuOutOfRange
        | Code::BridgeOptionOutOfRange
        | Code::BondNameInvalid
        | Code::BondOptionInvalid => Status::InvalidArgument,
        Code::StaleGeneration | Code::EtagMismatch | Code::CheckOvertaken => Status::Aborted,
        Code::Busy | Code::HostUnobservable | Code::StoreFailed => Status::Unavailable,
        Code::ResumeTokenExpired => Status::OutOfRange,
        Code::WatchLimit => Status::ResourceExhausted,
        Code::NotFound | Code::DomainNotFound => Status::NotFound,
        Code::AlreadyExists => Status::AlreadyExists,
        Code::PermissionDenied => Status::PermissionDenied,
        Code::ConnectivityLost
        | Code::DefaultRouteTaken
        | Code::DefaultRouteWithoutGateway
        | Code::SouthboundTaken
        | Code::AddressTaken
        | Code::GatewayWithoutDefaultRoute
        | Code::RouteTaken
        | Code::ResolverKept
        | Code::DhcpClientForeign
        | Code::TableTaken
        | Code::ForeignQdisc
        | Code::NicNotFound
        | Code::NicOptionUnsupported
        | Code::VfsInUse
        | Code::NicInUse
        | Code::DeviceManaged
        | Code::BondNotFound
        | Code::BondModeUnsafe
        | Code::BondTooFewNics
        | Code::BondInUse
        | Code::BridgeNameTaken
        | Code::NetworkNotFound
        | Code::ForeignDevice
        | Code::KernelLacksFeature
        | Code::LibvirtLacksFeature
        | Code::GuestsAttached
        | Code::GuestWiredPastLibvirt
        | Code::GuestUsesForeignMac
        | Code::VlanFilteringKept
        | Code::NetworkNotPluggable
        | Code::FilterNotFound
        | Code::ReplugNeeded
        | Code::UnplugPending
        | Code::NotPutBack
        | Code::TransactionNotFound
        | Code::ConfirmationRefused
        | Code::StepFailed
        | Code::VerificationFailed
        | Code::HookRefused
        | Code::HookFailed
        | Code::HookChanged
        | Code::DriftFound
        | Code::RequestIdReused
        | Code::ReferenceNotFound
        | Code::InUse
        | Code::NetworkNotInCluster
        | Code::RoleTaken
        | Code::NetworkOutOfSync
        | Code::UplinkDown
        | Code::HostSilent
        | Code::MulticastRisk
        | Code::HostNotUp
        | Code::NoFreeVf
        | Code::HostNotOffered
        | Code::LabelConflict
        | Code::RoleWithoutAddress
        | Code::DefaultRouteElsewhere
        | Code::MacSpoofConflict
        | Code::GuestTaggingConflict
        | Code::GuestTaggingUnknown
        | Code::NoEffectNotBridged
        | Code::SwitchTypeUnsupported
        | Code::HostUnsupported
        | Code::MgmtBridgeChange
        | Code::BridgeOptsConflict
        | Code::MacPoolOverlap
        | Code::MacPoolExhausted
        | Code::MacPoolLow
        | Code::ExtraMacsOverLimit
        | Code::FailoverInvalid
        | Code::HostNotInCluster
        | Code::NetworkNotOnHost
        | Code::MacSpoofBypass
        | Code::ExtraMacsUnsupported
        | Code::GuestVlansUnsupported
        | Code::PassthroughNotManaged
        | Code::FailoverConflict
        | Code::MirrorReducedView
        | Code::NestedVirtNoNetwork
        | Code::LivePortsPending
        | Code::DuplicateMac
        | Code::DuplicateMacPossible
        | Code::VirtualMac
        | Code::VnicStillPlugged
        | Code::VnicNotPluggable
        | Code::StillManaged => Status::FailedPrecondition,
    }
}

/// Returns the place of a canonical code where several meet: the lowest is the refusal's.
///
/// What ends a request before the others are worth reading comes first. An unmet condition comes before a malformed
/// field, since a request with both was looked at together with what it is about.
pub(super) fn precedence(code: Status) -> usize {
    const ORDER: [Status; 6] = [
        Status::PermissionDenied,
        Status::NotFound,
        Status::AlreadyExists,
        Status::Aborted,
        Status::Unavailable,
        Status::FailedPrecondition,
    ];
    ORDER.iter().position(|placed| *placed == code).unwrap_or(ORDER.len())
}
