//! Each line of the checklist, over real HTTP.
