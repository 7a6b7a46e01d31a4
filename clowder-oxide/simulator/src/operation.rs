//! The operations that are answered.

macro_rules! operations {
    ($($operation:ident => $id:literal),+ $(,)?) => {
        /// An operation of the API; named as the `oxide` crate names the client's method.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $(#[doc = concat!("`", $id, "`")] $operation),+
        }

        impl Operation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$operation),+];

            /// Its `operationId` in the description of the API.
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$operation => $id),+
                }
            }
        }
    };
}

operations! {
    AntiAffinityGroupCreate => "anti_affinity_group_create",
    AntiAffinityGroupDelete => "anti_affinity_group_delete",
    AntiAffinityGroupList => "anti_affinity_group_list",
    AntiAffinityGroupMemberInstanceAdd => "anti_affinity_group_member_instance_add",
    AntiAffinityGroupMemberInstanceDelete => "anti_affinity_group_member_instance_delete",
    AntiAffinityGroupMemberInstanceView => "anti_affinity_group_member_instance_view",
    AntiAffinityGroupMemberList => "anti_affinity_group_member_list",
    AntiAffinityGroupView => "anti_affinity_group_view",
    CurrentUserSshKeyList => "current_user_ssh_key_list",
    CurrentUserView => "current_user_view",
    DiskBulkWriteImport => "disk_bulk_write_import",
    DiskBulkWriteImportStart => "disk_bulk_write_import_start",
    DiskBulkWriteImportStop => "disk_bulk_write_import_stop",
    DiskCreate => "disk_create",
    DiskDelete => "disk_delete",
    DiskFinalizeImport => "disk_finalize_import",
    DiskList => "disk_list",
    DiskView => "disk_view",
    FloatingIpAttach => "floating_ip_attach",
    FloatingIpCreate => "floating_ip_create",
    FloatingIpDelete => "floating_ip_delete",
    FloatingIpDetach => "floating_ip_detach",
    FloatingIpList => "floating_ip_list",
    FloatingIpUpdate => "floating_ip_update",
    FloatingIpView => "floating_ip_view",
    ImageCreate => "image_create",
    ImageDelete => "image_delete",
    ImageList => "image_list",
    ImageView => "image_view",
    InstanceAntiAffinityGroupList => "instance_anti_affinity_group_list",
    InstanceCreate => "instance_create",
    InstanceDelete => "instance_delete",
    InstanceDiskAttach => "instance_disk_attach",
    InstanceDiskDetach => "instance_disk_detach",
    InstanceDiskList => "instance_disk_list",
    InstanceEphemeralIpAttach => "instance_ephemeral_ip_attach",
    InstanceEphemeralIpDetach => "instance_ephemeral_ip_detach",
    InstanceExternalIpList => "instance_external_ip_list",
    InstanceList => "instance_list",
    InstanceNetworkInterfaceList => "instance_network_interface_list",
    InstanceReboot => "instance_reboot",
    InstanceSshPublicKeyList => "instance_ssh_public_key_list",
    InstanceStart => "instance_start",
    InstanceStop => "instance_stop",
    InstanceUpdate => "instance_update",
    InstanceView => "instance_view",
    IpPoolList => "ip_pool_list",
    IpPoolView => "ip_pool_view",
    Ping => "ping",
    ProjectCreate => "project_create",
    ProjectList => "project_list",
    ProjectView => "project_view",
    SnapshotCreate => "snapshot_create",
    SnapshotDelete => "snapshot_delete",
    SnapshotList => "snapshot_list",
    SnapshotView => "snapshot_view",
    UtilizationView => "utilization_view",
    VpcFirewallRulesUpdate => "vpc_firewall_rules_update",
    VpcFirewallRulesView => "vpc_firewall_rules_view",
    VpcList => "vpc_list",
    VpcSubnetList => "vpc_subnet_list",
    VpcSubnetView => "vpc_subnet_view",
    VpcView => "vpc_view",
}
