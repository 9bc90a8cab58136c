"""A client generated from the protos that `kumo proto` writes out, as other people's programs are."""
