//! Which operation is done where.

use super::Rack;
use crate::answer::Answer;
use crate::fault::Fault;
use crate::operation::Operation;
use crate::refusal::Refusal;
use crate::request::Request;

impl Rack {
    /// Does what is asked, or what goes wrong instead. A fault that happens is taken.
    pub(crate) fn execute(
        &mut self,
        operation: Operation,
        request: &Request,
        fault: &mut Option<Fault>,
    ) -> Result<Answer, Refusal> {
        use Operation as Op;
        match operation {
            Op::Ping => Self::ping(),
            Op::CurrentUserView => self.current_user_view(),
            Op::CurrentUserSshKeyList => self.current_user_ssh_key_list(request),
            Op::UtilizationView => self.utilization_view(),
            Op::IpPoolList => self.ip_pool_list(request),
            Op::IpPoolView => self.ip_pool_view(request),
            Op::ProjectList => self.project_list(request),
            Op::ProjectView => self.project_view(request),
            Op::ProjectCreate => self.project_create(request),
            Op::VpcList => self.vpc_list(request),
            Op::VpcView => self.vpc_view(request),
            Op::VpcSubnetList => self.vpc_subnet_list(request),
            Op::VpcSubnetView => self.vpc_subnet_view(request),
            Op::VpcFirewallRulesView => self.vpc_firewall_rules_view(request),
            Op::VpcFirewallRulesUpdate => self.vpc_firewall_rules_update(request),
            Op::FloatingIpList => self.floating_ip_list(request),
            Op::FloatingIpView => self.floating_ip_view(request),
            Op::FloatingIpCreate => self.floating_ip_create(request),
            Op::FloatingIpUpdate => self.floating_ip_update(request),
            Op::FloatingIpDelete => self.floating_ip_delete(request),
            Op::FloatingIpAttach => self.floating_ip_attach(request),
            Op::FloatingIpDetach => self.floating_ip_detach(request),
            Op::DiskList => self.disk_list(request),
            Op::DiskView => self.disk_view(request),
            Op::DiskCreate => self.disk_create(request),
            Op::DiskDelete => self.disk_delete(request),
            Op::DiskBulkWriteImportStart => self.disk_bulk_write_import_start(request),
            Op::DiskBulkWriteImport => self.disk_bulk_write_import(request),
            Op::DiskBulkWriteImportStop => self.disk_bulk_write_import_stop(request),
            Op::DiskFinalizeImport => self.disk_finalize_import(request),
            Op::SnapshotList => self.snapshot_list(request),
            Op::SnapshotView => self.snapshot_view(request),
            Op::SnapshotCreate => self.snapshot_create(request),
            Op::SnapshotDelete => self.snapshot_delete(request),
            Op::ImageList => self.image_list(request),
            Op::ImageView => self.image_view(request),
            Op::ImageCreate => self.image_create(request),
            Op::ImageDelete => self.image_delete(request),
            Op::AntiAffinityGroupList => self.anti_affinity_group_list(request),
            Op::AntiAffinityGroupView => self.anti_affinity_group_view(request),
            Op::AntiAffinityGroupCreate => self.anti_affinity_group_create(request),
            Op::AntiAffinityGroupDelete => self.anti_affinity_group_delete(request),
            Op::AntiAffinityGroupMemberList => self.anti_affinity_group_member_list(request),
            Op::AntiAffinityGroupMemberInstanceView => self.anti_affinity_group_member_instance_view(request),
            Op::AntiAffinityGroupMemberInstanceAdd => self.anti_affinity_group_member_instance_add(request),
            Op::AntiAffinityGroupMemberInstanceDelete => self.anti_affinity_group_member_instance_delete(request),
            Op::InstanceList => self.instance_list(request),
            Op::InstanceView => self.instance_view(request),
            Op::InstanceCreate => self.instance_create(request, fault),
            Op::InstanceUpdate => self.instance_update(request),
            Op::InstanceDelete => self.instance_delete(request, fault),
            Op::InstanceStart => self.instance_start(request, fault),
            Op::InstanceStop => self.instance_stop(request, fault),
            Op::InstanceReboot => self.instance_reboot(request, fault),
            Op::InstanceDiskList => self.instance_disk_list(request),
            Op::InstanceDiskAttach => self.instance_disk_attach(request),
            Op::InstanceDiskDetach => self.instance_disk_detach(request),
            Op::InstanceExternalIpList => self.instance_external_ip_list(request),
            Op::InstanceEphemeralIpAttach => self.instance_ephemeral_ip_attach(request),
            Op::InstanceEphemeralIpDetach => self.instance_ephemeral_ip_detach(request),
            Op::InstanceNetworkInterfaceList => self.instance_network_interface_list(request),
            Op::InstanceAntiAffinityGroupList => self.instance_anti_affinity_group_list(request),
            Op::InstanceSshPublicKeyList => self.instance_ssh_public_key_list(request),
        }
    }
}
