"""Does a GPU do what was tested on CPUs? One part after the other, each in a process of its own."""
