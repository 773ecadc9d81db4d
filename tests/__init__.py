"""The tests of planc: unit, ui, contract, faults and, against real servers, cluster."""
