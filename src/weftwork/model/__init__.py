"""What tenants and operators ask for, as frozen values. A value that exists is valid."""
