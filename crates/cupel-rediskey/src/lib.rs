//! cupel-rediskey
