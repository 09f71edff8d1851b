"""Operations on volumes: spatial, intensity, denoising, frequency, registration."""
