"""From image files to pixels: decoding, finding files, reading archives; shared by all wings that look at pictures."""
