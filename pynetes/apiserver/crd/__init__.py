"""Custom resources: kinds that are served because an object says so.

`resource` is one served version of a definition, `names` decides who may have which name, `manager` follows the
definitions in the store, keeps the registry true, and writes what became of each into its status.
"""
