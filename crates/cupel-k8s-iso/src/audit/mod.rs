pub(crate) async fn audit(_: &crate::TenantCluster, _: &cupel_tenant::OrgId) -> Result<Vec<cupel_tenant::Finding>, crate::Error> { Ok(vec![]) }
