use crate::merchants::new_id;
use std::error::Error;

/// Long enough that nobody guesses it, so its plain hash gives nothing away.
pub fn token() -> Result<(), Box<dyn Error>> {
    let half = || new_id().map_err(|refusal| refusal.message().to_owned());
    let token = format!("{}{}", half()?, half()?);
    println!("token   {token}   (for whoever asks: --token, or Authorization: Bearer)");
    println!("sha256  {}   (for the worker's file)", outflow_control::token_hash(&token));
    println!();
    println!("rest:");
    println!("  tokens:");
    println!("    - {{ name: NAME, role: operator, sha256: {} }}", outflow_control::token_hash(&token));
    Ok(())
}
