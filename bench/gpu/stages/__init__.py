"""One file a stage: parts(setting), run(setting, part, put), SECONDS a part may take, TOGETHER at once."""
