"""The controllers: each makes one kind of promise in the API come true, and keeps it true."""
