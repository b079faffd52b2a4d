// @generated automatically by Diesel CLI.

diesel::table! {
    notifications (id) {
        id -> Bigint,
        #[max_length = 255]
        message -> Varchar,
        sent -> Bool,
    }
}
