"""Recipe: a CTC recogniser of digit strings in noise behind the front-end, frozen or jointly trained."""
