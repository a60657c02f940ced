//! The five standard methods of a service (AIP-131 to 135), written once.

/// Implements a service's trait for a handler that wraps [`super::Api`].
///
/// `with` names the field of an update that asks for a fix of profiles. The brackets after `parent` hold the word `parent` for resources below another one, and nothing for others; methods
/// beyond the standard ones follow after `and`.
macro_rules! standard_service {
    (
        $service:ident for $handler:ident, $resource:ident as $field:ident in $fields:ident, id $id:ident, parent [$($parent:ident)?];
        $get:ident $get_request:ident $get_response:ident;
        $list:ident $list_request:ident $list_response:ident;
        $create:ident $create_request:ident $create_response:ident;
        $update:ident $update_request:ident $update_response:ident $(with $fix:ident)?;
        $delete:ident $delete_request:ident $delete_response:ident;
        and { $($more:tt)* }
    ) => {
        #[tonic::async_trait]
        impl $service for $handler {
        async fn $get(&self, request: Request<wire::$get_request>) -> Result<Response<wire::$get_response>, Status> {
            $crate::api::require_user(&request)?;
            let $field = self.0.get::<wire::$resource>(&request.get_ref().name)?;
            Ok(Response::new(wire::$get_response { $field: Some($field) }))
        }

        async fn $list(&self, request: Request<wire::$list_request>) -> Result<Response<wire::$list_response>, Status> {
            $crate::api::require_user(&request)?;
            let wish = request.into_inner();
            let parent: &str = standard_service!(@parent wish $($parent)?);
            let ($fields, next_page_token) =
                self.0.list::<wire::$resource>(parent, wish.page_size, &wish.page_token, &wish.filter).await?;
            Ok(Response::new(wire::$list_response { $fields, next_page_token }))
        }

        async fn $create(
            &self,
            request: Request<wire::$create_request>,
        ) -> Result<Response<wire::$create_response>, Status> {
            let wish = request.get_ref();
            let terms =
                $crate::api::Terms::of(&request, &wish.request_id, wish.validate_only, &wish.acknowledge_warnings)?;
            let wish = request.into_inner();
            let parent: &str = standard_service!(@parent wish $($parent)?);
            let ($field, findings) = self.0.create(terms, wish.$field, parent, &wish.$id).await?;
            Ok(Response::new(wire::$create_response { $field: Some($field), findings }))
        }

        async fn $update(
            &self,
            request: Request<wire::$update_request>,
        ) -> Result<Response<wire::$update_response>, Status> {
            let wish = request.get_ref();
            let terms =
                $crate::api::Terms::of(&request, &wish.request_id, wish.validate_only, &wish.acknowledge_warnings)?;
            let wish = request.into_inner();
            $(let terms = terms.fixing(wish.$fix);)?
            let ($field, findings) =
                self.0.update(terms, wish.$field, wish.update_mask, wish.allow_missing).await?;
            Ok(Response::new(wire::$update_response { $field: Some($field), findings }))
        }

        async fn $delete(
            &self,
            request: Request<wire::$delete_request>,
        ) -> Result<Response<wire::$delete_response>, Status> {
            let wish = request.get_ref();
            let terms =
                $crate::api::Terms::of(&request, &wish.request_id, wish.validate_only, &wish.acknowledge_warnings)?;
            let wish = request.into_inner();
            let findings = self.0.delete::<wire::$resource>(terms, &wish.name, wish.etag).await?;
            Ok(Response::new(wire::$delete_response { findings }))
        }

        $($more)*
        }
    };
    (@parent $wish:ident) => {
        ""
    };
    (@parent $wish:ident $parent:ident) => {
        &$wish.$parent
    };
}

pub(super) use standard_service;
