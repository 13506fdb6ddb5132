"""From layers to tables of addresses: what one kernel call works on."""
