"""The bridge to ngspice: the engine, sessions, drives, a pool of workers."""
