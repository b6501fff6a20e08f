"""Programs and mistakes that people brought, made small: each is answered as it must be."""
