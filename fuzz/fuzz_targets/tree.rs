#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| git_two_key_fuzz::tree(data));
