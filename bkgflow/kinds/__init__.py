"""How each kind of unit is prepared, shared and changed."""
