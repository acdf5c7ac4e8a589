"""One file a stage: run(setting, part, put) puts rows. ../plan.py says what comes when."""
