//! Cases about bonds.

use std::collections::BTreeMap;

use trestle_model::{BondMode, BondOption, BondOptions, IfName, MacAddr};

use super::bench::{Bench, MAC, OTHER_MAC, master, mtu, same, up};
use crate::difference::bond_change;
use crate::{BondTuning, Host, KernelStep, Primary, Step};

pub(super) async fn bond_comes_and_goes<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (bond, nic, other) = (&bench.bond, &bench.nic, &bench.other_nic);
    for mode in BondMode::ALL {
        bench.perform([create(bond, mode, Some(MAC))]).await?;
        let link = bench.link(bond).await?;
        same("mode", &bench.bond_of(bond).await?.options.mode, &mode)?;
        same(
            "MAC, alias, up",
            &(link.mac, link.alias.as_deref(), link.up),
            &(Some(MAC), Some("trestle:contract"), false),
        )?;
        // Whatever the module was told when it was loaded: everything can be said.
        let wanted = BondOptions::of(mode).complete();
        bench.perform([set(bond, everything(&wanted))]).await?;
        bench.perform([up(bond), down(nic), master(nic, Some(bond)), down(other), master(other, Some(bond))]).await?;
        same("options", &known(bench, &wanted).await?, &bench.bond_of(bond).await?.options)?;
        for port in [nic, other] {
            let link = bench.link(port).await?;
            same("master, up", &(link.master.as_ref(), link.up), &(Some(bond), true))?;
            same("is a port of a bond", &link.bond_port.is_some(), &true)?;
            same("flags of a bridge port", &link.port, &None)?;
        }
        // Marked, and left as it is.
        bench.perform([create(bond, mode, Some(OTHER_MAC))]).await?;
        same("MAC", &bench.link(bond).await?.mac, &Some(MAC))?;
        bench.perform([KernelStep::DeleteLink { name: bond.clone() }]).await?;
        for port in [nic, other] {
            let link = bench.link(port).await?;
            same("master, up", &(link.master.as_ref(), link.up), &(None, false))?;
            same("is a port of a bond", &link.bond_port.is_some(), &false)?;
        }
    }
    Ok(())
}

pub(super) async fn bond_keeps_its_mac<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (bond, nic, other) = (&bench.bond, &bench.nic, &bench.other_nic);
    let own = bench.link(nic).await?.mac;
    let others = bench.link(other).await?.mac;
    bench.perform([create(bond, BondMode::ActiveBackup, Some(MAC)), up(bond)]).await?;
    bench.perform([down(nic), master(nic, Some(bond)), down(other), master(other, Some(bond))]).await?;
    for device in [bond, nic, other] {
        same("MAC in the bond", &bench.link(device).await?.mac, &Some(MAC))?;
    }
    same("MAC to return to", &bench.link(nic).await?.bond_port.and_then(|port| port.permanent_mac), &own)?;
    bench.perform([KernelStep::SetMac { link: bond.clone(), mac: OTHER_MAC }]).await?;
    for device in [bond, nic, other] {
        same("MAC after its change", &bench.link(device).await?.mac, &Some(OTHER_MAC))?;
    }
    bench.perform([master(nic, None)]).await?;
    same("MAC of the bond without its first port", &bench.link(bond).await?.mac, &Some(OTHER_MAC))?;
    same("MAC of what has left", &bench.link(nic).await?.mac, &own)?;
    // Without ports it has a MAC of the kernel's choice, and takes that of the next first one.
    bench.perform([master(other, None), down(nic), master(nic, Some(bond))]).await?;
    same("MAC of the bond by its port", &bench.link(bond).await?.mac, &own)?;
    bench.perform([master(nic, None), KernelStep::SetMac { link: bond.clone(), mac: MAC }.into()]).await?;
    bench.perform([down(other), master(other, Some(bond))]).await?;
    same("MAC that was set without ports", &bench.link(bond).await?.mac, &Some(MAC))?;
    bench.perform([KernelStep::DeleteLink { name: bond.clone() }]).await?;
    same("MAC afterwards", &bench.link(other).await?.mac, &others)
}

pub(super) async fn ports_follow<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (bond, nic, other) = (&bench.bond, &bench.nic, &bench.other_nic);
    let before = bench.link(nic).await?.mtu;
    bench.perform([create(bond, BondMode::ActiveBackup, Some(MAC)), up(nic)]).await?;
    let refused = bench.perform_once(&[master(nic, Some(bond))]).await.is_err();
    same("a port that is up is refused", &refused, &true)?;
    bench.perform([KernelStep::SetMtu { link: bond.clone(), mtu: mtu(1300)? }]).await?;
    bench.perform([down(nic), master(nic, Some(bond)), up(bond)]).await?;
    same("MTU of a new port", &bench.link(nic).await?.mtu, &mtu(1300)?)?;
    bench.perform([KernelStep::SetMtu { link: bond.clone(), mtu: mtu(1400)? }]).await?;
    same("MTU of a port", &bench.link(nic).await?.mtu, &mtu(1400)?)?;
    bench.perform([KernelStep::SetMtu { link: nic.clone(), mtu: mtu(1350)? }]).await?;
    same("MTU of the bond", &bench.link(bond).await?.mtu, &mtu(1400)?)?;
    bench.perform([down(other), master(other, Some(bond))]).await?;
    bench.perform([set(bond, prefers(Primary::Port(other.clone())))]).await?;
    same("primary", &bench.bond_of(bond).await?.options.primary.as_ref(), &Some(other))?;
    bench.perform([master(other, None)]).await?;
    same("primary that has left", &bench.bond_of(bond).await?.options.primary, &None)?;
    bench.perform([down(other), master(other, Some(bond))]).await?;
    same("primary that came back", &bench.bond_of(bond).await?.options.primary.as_ref(), &Some(other))?;
    bench.perform([set(bond, prefers(Primary::Nobody))]).await?;
    same("no primary", &bench.bond_of(bond).await?.options.primary, &None)?;
    for port in [nic, other, nic] {
        bench.perform([set(bond, BondTuning { active_port: Some(port.clone()), ..BondTuning::default() })]).await?;
        same("active port", &bench.bond_of(bond).await?.active_port.as_ref(), &Some(port))?;
    }
    bench.perform([master(nic, None)]).await?;
    let link = bench.link(nic).await?;
    same("MTU and state of what has left", &(link.mtu, link.up), &(before, false))?;
    bench.perform([KernelStep::DeleteLink { name: bond.clone() }]).await
}

pub(super) async fn options_are_kept<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let bond = &bench.bond;
    for mode in BondMode::ALL {
        bench.perform([create(bond, mode, None)]).await?;
        let mut wanted = BondOptions::of(mode).complete();
        bench.perform([set(bond, everything(&wanted))]).await?;
        // Each option for itself, at both ends of its range; the ways to watch links come below.
        for option in BondOption::ALL.into_iter().filter(|option| option.applies_to(mode) && !watches(*option)) {
            let (low, high) = option.range();
            for value in [high, low, option.default_value()] {
                wanted.numbers.insert(option, value);
                let numbers = BTreeMap::from([(option, value)]);
                bench.perform([set(bond, BondTuning { numbers, ..BondTuning::default() })]).await?;
                same(
                    &format!("{mode}: {option} {value}"),
                    &known(bench, &wanted).await?,
                    &bench.bond_of(bond).await?.options,
                )?;
            }
        }
        let delays = [(BondOption::Miimon, 50), (BondOption::Updelay, 200), (BondOption::Downdelay, 100)];
        wanted.numbers.extend(delays);
        bench.perform([change(bench, &wanted).await?]).await?;
        same("delays", &known(bench, &wanted).await?, &bench.bond_of(bond).await?.options)?;
        wanted.numbers.insert(BondOption::Miimon, 100);
        bench.perform([change(bench, &wanted).await?]).await?;
        same("delays in another interval", &known(bench, &wanted).await?, &bench.bond_of(bond).await?.options)?;
        if mode.has_arp_monitor() {
            let mut by_arp = BondOptions::of(mode);
            by_arp.numbers.extend([(BondOption::ArpInterval, 1000), (BondOption::ArpValidate, 3)]);
            by_arp.arp_ip_targets = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
            let by_arp = by_arp.complete();
            bench.perform([change(bench, &by_arp).await?]).await?;
            let has = bench.bond_of(bond).await?.options;
            same("nothing more to change", &bond_change(&by_arp, &has, &[]), &BondTuning::default())?;
            bench.perform([change(bench, &wanted).await?]).await?;
            let has = bench.bond_of(bond).await?.options;
            same("nothing more to change", &bond_change(&wanted, &has, &[]), &BondTuning::default())?;
        }
        bench.perform([KernelStep::DeleteLink { name: bond.clone() }]).await?;
    }
    Ok(())
}

pub(super) async fn options_ask_for_their_time<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (bond, nic) = (&bench.bond, &bench.nic);
    bench.perform([create(bond, BondMode::Lacp, Some(MAC)), up(bond), down(nic), master(nic, Some(bond))]).await?;
    let fast = || BondTuning { numbers: BTreeMap::from([(BondOption::LacpRate, 1)]), ..BondTuning::default() };
    let system = || BondTuning { ad_actor_system: Some(OTHER_MAC), ..BondTuning::default() };
    let refused = bench.perform_once(&[set(bond, fast())]).await.is_err();
    same("what a bond has to be down for is refused", &refused, &true)?;
    let live = BTreeMap::from([(BondOption::XmitHashPolicy, 1), (BondOption::MinLinks, 1)]);
    bench.perform([set(bond, BondTuning { numbers: live, ..BondTuning::default() })]).await?;
    bench.perform([set(bond, system()), down(bond), set(bond, fast()), up(bond)]).await?;
    let options = bench.bond_of(bond).await?.options;
    same("LACP rate", &options.numbers.get(&BondOption::LacpRate), &Some(&1))?;
    same("LACP system", &options.ad_actor_system, &Some(OTHER_MAC))?;
    let none = BondTuning { ad_actor_system: Some(MacAddr::new([0; 6])), ..BondTuning::default() };
    bench.perform([down(bond), set(bond, none)]).await?;
    same("no LACP system", &bench.bond_of(bond).await?.options.ad_actor_system, &None)?;
    let wanted = BondOptions::of(BondMode::BalanceXor).complete();
    let other_mode = || change(bench, &wanted);
    let refused = bench.perform_once(&[other_mode().await?]).await.is_err();
    same("another mode with ports is refused", &refused, &true)?;
    bench.perform([master(nic, None)]).await?;
    bench.perform([other_mode().await?]).await?;
    same("another mode", &known(bench, &wanted).await?, &bench.bond_of(bond).await?.options)?;
    bench.perform([KernelStep::DeleteLink { name: bond.clone() }]).await
}

/// Returns `wanted` without the options that this kernel does not know.
async fn known<H: Host>(bench: &Bench<'_, H>, wanted: &BondOptions) -> Result<BondOptions, String> {
    let has = bench.bond_of(&bench.bond).await?.options;
    let numbers = wanted.numbers.iter().filter(|(option, _)| has.numbers.contains_key(option));
    Ok(BondOptions { numbers: numbers.map(|(option, value)| (*option, *value)).collect(), ..wanted.clone() })
}

/// Returns the step that makes the case's bond what is wanted, as a plan has it.
async fn change<H: Host>(bench: &Bench<'_, H>, wanted: &BondOptions) -> Result<Step, String> {
    let has = bench.bond_of(&bench.bond).await?.options;
    Ok(set(&bench.bond, bond_change(wanted, &has, &[])))
}

const fn watches(option: BondOption) -> bool {
    matches!(
        option,
        BondOption::Miimon
            | BondOption::Updelay
            | BondOption::Downdelay
            | BondOption::PeerNotifDelay
            | BondOption::ArpInterval
            | BondOption::ArpValidate
    )
}

fn everything(wanted: &BondOptions) -> BondTuning {
    let other = if wanted.mode == BondMode::Lacp { BondMode::Broadcast } else { BondMode::Lacp };
    BondTuning { mode: None, ..bond_change(wanted, &BondOptions::of(other), &[]) }
}

fn prefers(primary: Primary) -> BondTuning {
    BondTuning { primary: Some(primary), ..BondTuning::default() }
}

fn create(bond: &IfName, mode: BondMode, mac: Option<MacAddr>) -> Step {
    let alias = "trestle:contract".to_owned();
    KernelStep::CreateBond { name: bond.clone(), mode, mac, alias }.into()
}

fn set(bond: &IfName, change: BondTuning) -> Step {
    KernelStep::SetBond { bond: bond.clone(), change }.into()
}

fn down(link: &IfName) -> Step {
    KernelStep::SetUp { link: link.clone(), up: false }.into()
}
