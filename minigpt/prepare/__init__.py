"""minigpt data: documents to token shards, on all cores, over many machines, and through every interruption.

The work is cut into units (units.py) whose tokens, put one after the other, are the tokens of the whole,
wherever the cuts lie. Hence any number of workers, any interruption and any division among machines give the
same bytes. In the order of the work:

    options.py    what can be asked for                 encode.py     a unit to tokens, in a worker
    inputs.py     which files, in which order           workers.py    the processes, their results in order
    hub.py        files of the Hugging Face hub         output.py     tokens to shards, safe against kills
    parts.py      which of them are this machine's      journal.py    how far the output is
    units.py      files to pieces of work               manifest.py   what an output is made of
    documents.py  a piece of work to texts              join.py       the parts of many machines to one
    run.py        all of it                             sealed.py     JSON files that notice damage
                                                        progress.py   how fast, how long still
"""
